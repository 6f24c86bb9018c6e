use serde::Deserialize;

use super::*;
use crate::file_error::Position;

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
    #[serde(default)]
    number: i64,
    #[serde(default)]
    list: Vec<String>,
    #[serde(default)]
    kind: Kind,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum Kind {
    #[default]
    Task,
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
    assert_eq!(fault.hint.as_deref(), Some("expected one of `key`, `number`, `list`, `kind`"));
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
fn value_of_every_other_type_is_refused_with_what_was_found_and_expected() {
    for (line, column, message, hint) in [
        ("key = 1979-05-27", 7, "invalid type: datetime", "expected a string"),
        ("key = 1.5", 7, "invalid type: floating point `1.5`", "expected a string"),
        ("key = true", 7, "invalid type: boolean `true`", "expected a string"),
        ("key = []", 7, "invalid type: sequence", "expected a string"),
        ("key = {}", 7, "invalid type: map", "expected a string"),
        ("number = \"3\"", 10, "invalid type: string \"3\"", "expected i64"),
        ("list = 3", 8, "invalid type: integer `3`", "expected a sequence"),
        ("list = [\"a\", 3]", 14, "invalid type: integer `3`", "expected a string"),
        ("kind = 3", 8, "invalid type: integer `3`", "expected a string"),
        ("kind = \"tusk\"", 8, "unknown variant `tusk`", "expected `task`"),
    ] {
        let fault = fault(&format!("[client]\n{line}\n"));
        let position = Some(Position { line: 2, column });
        assert_eq!((fault.position, fault.message.as_str()), (position, message), "{line}");
        assert_eq!(fault.hint.as_deref(), Some(hint), "{line}");
    }
    assert_eq!(fault("client = 3\n").hint.as_deref(), Some("expected struct Client"));
}

#[test]
fn number_of_more_than_64_bits_is_refused() {
    let fault = fault("[client]\nnumber = 9223372036854775808\n");
    assert_eq!(fault.message, "9223372036854775808 is out of range");
    assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("at most 64 bits")));
}
