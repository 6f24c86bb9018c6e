use super::*;

#[test]
fn error_of_a_missing_file_says_so_without_an_error_number() {
    let fault = crate::file_security::read_guarded(Path::new("/nonexistent/taskseal.toml"), 100).unwrap_err();

    assert_eq!(fault.io, Some(io::ErrorKind::NotFound));
    assert_eq!(fault.message, "cannot be read: no such file");
}
