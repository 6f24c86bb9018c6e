use taskseal_core::keyset::signed::KeyState;
use taskseal_core::{KeyLookup, Kind};

use crate::keys::record::KeysetKey;
use crate::keys::testing::{Folder, RIGHTS, entry, in_token};
use crate::keys::{Algorithm, KeyStores, Keyring, KeyringError, SharedKeys, reload_keyring};

#[test]
fn kid_of_another_key_is_refused_with_its_line_and_a_hint() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let text = entry(&key, &format!("use = \"task\"\n{RIGHTS}"));
    let text = text.replace(&key.kid().to_string(), "0011223344556677");

    let fault = folder.refused(&text);

    assert_eq!(fault.position.unwrap().line, 2);
    assert_eq!(fault.field.as_deref(), Some("key.kid"));
    assert!(fault.message.ends_with(", that of the public key, found 0011223344556677"), "{fault}");
    assert!(fault.hint.is_some());
}

#[test]
fn duplicate_kid_is_refused_at_its_second_entry() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::EcdhEs);
    let one = entry(&key, "use = \"task\"\n");

    let fault = folder.refused(&format!("{one}{one}"));

    assert!(fault.message.starts_with("duplicate kid"), "{fault}");
    assert_eq!(fault.position.unwrap().line, one.lines().count() + 2);
}

#[test]
fn point_off_the_curve_is_refused() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let public = key.public().unwrap();
    // The last four characters change the last three bytes of y.
    let (start, end) = public.split_at(public.len() - 4);
    let other = format!("{start}{}", if end == "AAAA" { "AAAE" } else { "AAAA" });
    let text = entry(&key, &format!("use = \"task\"\n{RIGHTS}")).replace(&public, &other);

    let fault = folder.refused(&text);

    assert_eq!((fault.message.as_str(), fault.position.unwrap().line), ("not a point on P-256", 4));
}

#[test]
fn wrong_entry_is_refused_with_its_position_and_a_hint() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let good = entry(&key, &format!("use = \"task\"\n{RIGHTS}"));
    folder.keyset(&good);

    for (from, to, message) in [
        ("use = \"task\"", "use = \"tasks\"", "unknown variant `tasks`"),
        ("use = \"task\"", "usage = \"task\"", "unknown field `usage`"),
        ("[\"*\"]", "[\"a b\"]", "`a b` is not a pattern"),
        ("[\"*\"]", "[\"a*b\"]", "`a*b` is not a pattern"),
        ("alg = \"ES256\"", "alg = \"none\"", "unknown variant `none`"),
        ("alg = \"ES256\"", "alg = \"HS256\"", "this algorithm takes `secret_file` and no `public`"),
        ("issuers = [\"me\"]\n", "", "missing field `issuers`"),
        ("use = \"task\"", "use = \"task\"\nuse_from = \"yesterday\"", "not a time"),
        ("use = \"task\"", "use = \"task\"\nstate = \"active\"", "not the state of a key"),
        ("use = \"task\"", "use = \"task\"\nstatus = \"active\"", "field `status` was renamed"),
        ("use = \"task\"", "use = \"task\"\nstate = \"retiring\"", "a retiring key needs `accept_until`"),
        (
            "use = \"task\"",
            "use = \"task\"\nstate = \"destroyed\"",
            "a destroyed key has `kid`, `state`, `since` and `label` only",
        ),
        ("use = \"task\"\n", "", "missing field `use`"),
        ("alg = \"ES256\"\n", "", "missing field `alg`"),
        ("public = \"B", "public = \"=", "not a public key"),
    ] {
        let fault = folder.refused(&good.replacen(from, to, 1));
        assert_eq!(fault.message, message);
        assert!(fault.position.is_some() && fault.hint.is_some(), "{fault:?}");
    }
}

#[test]
fn times_in_the_wrong_order_are_refused() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    let with = |times: &[(&str, u32)]| {
        let times: String =
            times.iter().map(|(field, year)| format!("{field} = \"{year}-01-01T00:00:00Z\"\n")).collect();
        entry(&key, &format!("use = \"task\"\n{times}{RIGHTS}"))
    };
    for times in [
        [("use_from", 2030), ("sign_until", 2030)],
        [("use_from", 2031), ("accept_until", 2030)],
        [("sign_until", 2031), ("accept_until", 2030)],
    ] {
        let fault = folder.refused(&with(&times));
        assert!(fault.message.contains("must"), "{fault}");
        assert!(fault.position.is_some() && fault.hint.is_some(), "{fault:?}");
    }
    folder.keyset(&with(&[("use_from", 2030), ("sign_until", 2031), ("accept_until", 2031)]));
}

#[test]
fn destroyed_key_keeps_its_kid_and_verifies_nothing() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);

    let keyring = folder.keyset(&format!("[[key]]\nkid = \"{}\"\nstate = \"destroyed\"\n", key.kid()));

    assert!(keyring.find(key.kid()).is_none());
    assert_eq!(keyring.record(key.kid()).unwrap().state(), KeyState::Destroyed);
}

#[test]
fn agreement_key_with_some_of_the_three_rights_is_refused() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::EcdhEs);
    let lines = ["issuers = [\"*\"]\n", "types = [\"*\"]\n", "audiences = [\"*\"]\n"];
    for (missing, field) in ["issuers", "types", "audiences"].into_iter().enumerate() {
        let present = lines.iter().enumerate().filter(|(index, _)| *index != missing);
        let rights: String = present.map(|(_, line)| *line).collect();
        let fault = folder.refused(&entry(&key, &format!("use = \"result\"\n{rights}")));
        assert!(fault.message.starts_with(&format!("missing field `{field}`")), "{fault}");
        assert!(fault.hint.is_some());
    }
}

#[test]
fn agreement_key_has_the_role_of_its_rights_and_its_use() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::EcdhEs);
    let role = |more: &str| {
        let keyring = folder.keyset(&entry(&key, more));
        let record = keyring.record(key.kid()).unwrap();
        assert_eq!(record.to_entry().check(), Ok(()));
        record.to_entry().role.map(|role| (role.kind, role.issuers.as_str().to_owned()))
    };
    assert_eq!(role("use = \"task\"\n"), None);
    assert_eq!(role(&format!("use = \"task\"\n{RIGHTS}")), Some((Kind::Task, "me".to_owned())));
    assert_eq!(role(&format!("use = \"result\"\n{RIGHTS}")), Some((Kind::Result, "me".to_owned())));
    // The role keeps its use, for a configuration that names it.
    assert_eq!(role("use = \"result\"\n"), Some((Kind::Result, String::new())));
}

#[test]
fn agreement_key_of_the_keyset_verifies_nothing() {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::EcdhEs);
    let keyring = folder.keyset(&entry(&key, "use = \"task\"\n"));

    assert!(keyring.find(key.kid()).is_none());
    assert_eq!(keyring.known_kids().collect::<Vec<_>>(), [key.kid()]);
}

#[test]
fn in_token_is_refused_for_other_algorithms_and_beside_a_secret_file() {
    let folder = Folder::new();
    let (mac, sign) = (folder.key("mac.key", Algorithm::Hs256), folder.key("sign.key", Algorithm::Es256));
    let shared = folder.key("shared.key", Algorithm::A256Gcm);
    let good = in_token(mac.kid());
    folder.keyset(&good);
    for text in [
        entry(&mac, &format!("use = \"task\"\nin_token = true\nsecret_file = \"mac.key\"\n{RIGHTS}")),
        entry(&sign, &format!("use = \"task\"\nin_token = true\n{RIGHTS}")),
        entry(&shared, "use = \"task\"\nin_token = true\n"),
    ] {
        let fault = folder.refused(&text);
        assert!(fault.message.contains("`in_token` is for HS256"), "{fault}");
    }
    // A forgotten secret remains an error.
    let fault = folder.refused(&good.replace("in_token = true", "in_token = false"));
    assert_eq!(fault.message, "this algorithm takes `secret_file` and no `public`");
}

#[test]
fn secret_file_that_cannot_be_used_is_named_with_its_field() {
    let folder = Folder::new();
    let key = folder.key("mac.key", Algorithm::Hs256);
    let text = entry(&key, &format!("use = \"task\"\nsecret_file = \"mac.key\"\n{RIGHTS}"));
    std::fs::remove_file(folder.path("mac.key")).unwrap();

    let KeyringError::Key(error) = folder.load(&text).unwrap_err() else { panic!("an error of the key") };

    assert!(error.is_unavailable() && error.key == folder.path("mac.key").into());
    assert!(error.to_string().contains("mac.key: key.secret_file: cannot be read: no such file"), "{error}");
}

#[test]
fn secret_file_of_another_key_does_not_keep_a_revoked_key_in_use() {
    let folder = Folder::new();
    let (mac, sign) = (folder.key("mac.key", Algorithm::Hs256), folder.key("sign.key", Algorithm::Es256));
    let shared = entry(&mac, &format!("use = \"task\"\nsecret_file = \"mac.key\"\n{RIGHTS}"));
    let signer = entry(&sign, &format!("use = \"task\"\n{RIGHTS}"));
    let previous = folder.load(&format!("{shared}{signer}")).unwrap();
    let text = format!("{shared}{}", signer.replace("use =", "state = \"compromised\"\nuse ="));
    std::fs::remove_file(folder.path("mac.key")).unwrap();
    folder.key("mac.key", Algorithm::Hs256);
    let open = |shared| Keyring::load_file(&folder.path("keyset.toml"), &KeyStores::default(), shared);
    assert!(folder.load(&text).is_err(), "a start");
    let loaded =
        reload_keyring(|| open(SharedKeys::Required), || open(SharedKeys::Available), &previous).unwrap();
    assert!(loaded.fault.is_some(), "it is reported");
    assert_eq!(loaded.keys.record(sign.kid()).unwrap().state(), KeyState::Compromised);
    assert!(matches!(loaded.keys.record(mac.kid()).unwrap().key(), KeysetKey::Hs256(_)));
}
