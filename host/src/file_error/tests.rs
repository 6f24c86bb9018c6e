use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct File {
    #[serde(default)]
    client: Option<Client>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Client {
    key: String,
}

fn fault(text: &str) -> FileError {
    parse_toml::<File>(Path::new("a.toml"), text).unwrap_err()
}

#[test]
fn unknown_field_is_named_with_its_table_line_and_the_known_ones() {
    let fault = fault("# comment\n[client]\nkey = \"k\"\n  kye = 3\n");

    assert_eq!(fault.position, Some(Position { line: 4, column: 3 }));
    assert_eq!(fault.field.as_deref(), Some("client.kye"));
    assert_eq!(fault.message, "unknown field `kye`");
    assert_eq!(fault.hint.as_deref(), Some("expected `key`"));
    assert_eq!(fault.to_string(), "a.toml:4:3: client.kye: unknown field `kye`");
}

#[test]
fn value_of_another_type_is_named_with_its_field() {
    let fault = fault("[client]\nkey = 3\n");

    assert_eq!(fault.position, Some(Position { line: 2, column: 7 }));
    assert_eq!(fault.field.as_deref(), Some("client.key"));
    assert_eq!(fault.hint.as_deref(), Some("expected a string"));
}

#[test]
fn missing_field_names_the_table() {
    let fault = fault("\n[client]\n");

    assert_eq!(fault.field.as_deref(), Some("client"));
    assert_eq!(fault.message, "missing field `key`");
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_position() {
    assert_eq!(fault("[client\n").position.map(|position| position.line), Some(1));
}

#[test]
fn error_of_a_missing_file_says_so_without_an_error_number() {
    let fault = crate::file_security::read_guarded(Path::new("/nonexistent/taskseal.toml"), 100).unwrap_err();

    assert_eq!(fault.io, Some(io::ErrorKind::NotFound));
    assert_eq!(fault.message, "cannot be read: no such file");
}
