use super::*;
use crate::keys::testing::Folder;

#[test]
fn damaged_or_foreign_key_file_is_refused_without_showing_its_content() {
    let folder = Folder::new();
    folder.key("a.key", Algorithm::Es256);
    let pem = String::from_utf8(file_security::read(&folder.path("a.key")).unwrap().to_vec()).unwrap();
    let body = pem.lines().nth(4).unwrap().to_owned();
    for (name, text) in [
        ("b.key", pem.replace("TASKSEAL SECRET KEY", "PRIVATE KEY")),
        ("c.key", pem.replace(&body, &body.replace(char::is_alphabetic, "A"))),
        ("d.key", "kid = 3\n".to_owned()),
        ("e.key", String::new()),
    ] {
        file_security::create(&folder.path(name), text.as_bytes()).unwrap();
        let fault = SecretKey::read(&folder.path(name)).unwrap_err();
        assert!(fault.hint.is_some());
        assert!(!format!("{fault} {fault:?}").contains(&body[..16]), "{fault}");
    }
}

#[test]
fn keys_generated_one_after_the_other_differ() {
    let folder = Folder::new();
    for algorithm in Algorithm::ALL {
        let (first, second) = (
            folder.key(&format!("{algorithm}1"), algorithm),
            folder.key(&format!("{algorithm}2"), algorithm),
        );
        assert_ne!(first.kid(), second.kid());
        let read = |name: &str| file_security::read(&folder.path(name)).unwrap();
        assert_ne!(read(&format!("{algorithm}1")), read(&format!("{algorithm}2")));
    }
}
