use std::fs;

use super::*;
use crate::keys::Algorithm;
use crate::keys::testing::{Folder, RIGHTS, entry};

/// Returns a folder with a keyset of this text, and the entry of another key.
fn keyset(text: &str) -> (Folder, String) {
    let folder = Folder::new();
    let key = folder.key("new.key", Algorithm::Es256);
    fs::write(folder.path("keyset.toml"), text).unwrap();
    (folder, entry(&key, &format!("use = \"task\"\n{RIGHTS}")))
}

#[test]
fn keyset_that_does_not_exist_or_is_not_valid_is_left_as_it_is() {
    let (folder, entry) = keyset("[[key]]\nkid = 1\n");
    let (file, missing) = (folder.path("keyset.toml"), folder.path("other.toml"));

    assert!(append_entry(&file, &entry).unwrap_err().position.is_some());
    assert!(check_appendable(&missing).unwrap_err().hint.as_ref().unwrap().contains("touch "));
    append_entry(&missing, &entry).unwrap_err();

    assert_eq!(fs::read_to_string(file).unwrap(), "[[key]]\nkid = 1\n");
    assert!(!missing.exists());
}

#[test]
fn key_that_the_keyset_has_is_not_appended_again() {
    let (folder, entry) = keyset("");
    let file = folder.path("keyset.toml");
    append_entry(&file, &entry).unwrap();

    let fault = append_entry(&file, &entry).unwrap_err();

    assert!(fault.message.starts_with("duplicate kid"), "{fault}");
    assert_eq!(fs::read_to_string(file).unwrap(), entry);
}

#[test]
fn entry_follows_a_last_line_that_has_no_line_break() {
    let (folder, entry) = keyset("# keys of the plant");
    let file = folder.path("keyset.toml");

    append_entry(&file, &entry).unwrap();

    assert_eq!(fs::read_to_string(&file).unwrap(), format!("# keys of the plant\n{entry}"));
    check_appendable(&file).unwrap();
}
