use super::*;
use crate::keys::Algorithm;
use crate::keys::testing::{Folder, RIGHTS, entry};

fn draft(folder: &Folder, text: &str) -> DraftFile {
    folder.write("keyset.toml", text);
    DraftFile::read(&folder.path("keyset.toml")).unwrap()
}

#[test]
fn settings_with_a_wrong_name_or_wrong_roots_are_refused() {
    let folder = Folder::new();
    let root = folder.key("root.key", Algorithm::Es256).public().unwrap();
    let with = |name: &str, roots: &str| format!("[keyset]\nname = \"{name}\"\nroots = [{roots}]\n");
    let read = |text: &str| {
        folder.write("keyset.toml", text);
        DraftFile::read(&folder.path("keyset.toml"))
    };
    for (text, message) in [
        (with("a b", &format!("\"{root}\"")), "not a name"),
        (with("a", ""), "expected one or two roots"),
        (with("a", &format!("\"{root}\", \"{root}\"")), "duplicate root"),
        (with("a", "\"BD\""), "not a public key"),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let good = read(&with("a", &format!("\"{root}\""))).unwrap();
    assert_eq!(good.settings().unwrap().pinned().name().as_str(), "a");
}

#[test]
fn change_that_would_not_be_valid_leaves_the_draft_as_it_is() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let text = entry(&key, &format!("use = \"task\"\n{RIGHTS}"));
    let mut draft = draft(&folder, &text);
    let change = StateChange {
        state: KeyState::Retiring,
        since: 1,
        use_from: None,
        sign_until: None,
        accept_until: None,
    };

    draft.change(key.kid(), &change).unwrap_err();
    draft.append(&text).unwrap_err();

    draft.store().unwrap();
    assert_eq!(fs::read_to_string(folder.path("keyset.toml")).unwrap(), text);
}

#[test]
fn secret_of_a_shared_key_is_not_needed() {
    let folder = Folder::new();
    let key = folder.key("mac.key", Algorithm::Hs256);
    let text = entry(&key, &format!("use = \"task\"\nsecret_file = \"mac.key\"\n{RIGHTS}"));
    fs::remove_file(folder.path("mac.key")).unwrap();

    let draft = draft(&folder, &text);

    assert!(draft.record(key.kid()).unwrap().to_entry().check().is_ok());
}

#[test]
fn destroyed_key_keeps_kid_and_label_and_the_time_of_its_destruction() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let mut draft = draft(&folder, &entry(&key, &format!("use = \"task\"\nlabel = \"old\"\n{RIGHTS}")));
    let change = StateChange {
        state: KeyState::Destroyed,
        since: 1_900_000_000,
        use_from: None,
        sign_until: None,
        accept_until: Some(3),
    };

    draft.change(key.kid(), &change).unwrap();
    draft.store().unwrap();

    let text = fs::read_to_string(folder.path("keyset.toml")).unwrap();
    let expected = format!(
        "[[key]]\nkid = \"{}\"\nlabel = \"old\"\nstate = \"destroyed\"\nsince = \"2030-03-17T17:46:40Z\"\n",
        key.kid()
    );
    assert_eq!(text.trim_end(), expected.trim_end());
    assert_eq!(draft.record(key.kid()).unwrap().since(), Some(1_900_000_000));
}
