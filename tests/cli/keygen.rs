//! `taskseal keygen`: what it requires before it generates a key, and the keyset entry of the key.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use taskseal::keys::{Keyring, Record};

use crate::support::keygen::{ANY, keygen};
use crate::support::program::run_in;
use crate::support::project::{OPEN, Project};

#[test]
fn key_that_authenticates_is_not_generated_without_all_of_its_rights() {
    let dir = tempfile::tempdir().unwrap();
    for purpose in [&["sign"][..], &["shared", "--suite", "M"], &["shared", "--suite", "encrypt"]] {
        for missing in ["--issuer", "--type", "--audience"] {
            let rights = ANY.chunks(2).filter(|right| right[0] != missing).flatten().copied();
            let arguments: Vec<_> =
                ["keygen"].iter().chain(purpose).chain(&["--out", "k"]).copied().chain(rights).collect();
            let run = run_in(dir.path(), &arguments, b"");
            run.failed(2).hinted();
            assert!(run.err.contains(&format!("rights of the key are missing: {missing}\n")), "{run:?}");
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn options_that_do_not_fit_the_purpose_generate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["keygen", "--out", "k"][..],
        &["keygen", "mac", "--out", "k"],
        &["keygen", "receive"],
        &["keygen", "receive", "--out", "k", "--issuer", "me"],
        &["keygen", "receive", "--out", "k", "--suite", "SP"],
        &["keygen", "shared", "--out", "k"],
        &["keygen", "shared", "--suite", "Mac", "--out", "k"],
        &["keygen", "shared", "--suite", "S", "--out", "k"],
        &["keygen", "shared", "--suite", "sign-encrypt-to", "--out", "k"],
        &["keygen", "shared", "--suite", "SE", "--out", "k", "--type", "*"],
        &["keygen", "receive", "--out", "k", "--sign-until", "tomorrow"],
        &["keygen", "receive", "--out", "k", "--sign-until", "0s"],
        &["keygen", "receive", "--out", "k", "--accept-until", "2020-01-01"],
        &["keygen", "receive", "--out", "k", "--sign-until", "1d", "--use-from", "2d"],
        &["keygen", "receive", "--out", "k", "--accept-until", "1d", "--use-from", "2d"],
        &["keygen", "receive", "--out", "k", "--accept-until", "1d", "--sign-until", "2d"],
        &["keygen", "receive", "--out", "k", "--state", "retiring"],
        &["keygen", "receive", "--out", "k", "--append", "keyset.toml"],
        &["keygen", "sign", "--out", "k", "--issuer", "a b", "--type", "*", "--audience", "*"],
        &["keygen", "sign", "--out", "k", "--issuer", "me", "--type", "a*b", "--audience", "*"],
    ] {
        run_in(dir.path(), arguments, b"").failed(2).hinted();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn keyset_that_is_not_valid_or_that_others_can_change_gets_no_entry_and_no_key_is_generated() {
    let project = Project::new();
    let append = keygen("S", &["--out", "k", "--append", "keyset.toml"]);
    let good = fs::read_to_string(project.path("keyset.toml")).unwrap();
    fs::set_permissions(project.path("keyset.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    project.run(&append).failed(2).hinted();
    fs::set_permissions(project.path("keyset.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(project.path("keyset.toml"), format!("{good}[[key]]\n")).unwrap();

    let run = project.run(&append);

    run.failed(2);
    assert!(run.err.contains("keyset.toml:") && run.err.contains("missing field `kid`"), "{run:?}");
    assert!(run.out.is_empty() && !project.path("k").exists());
    assert_eq!(fs::read_to_string(project.path("keyset.toml")).unwrap(), format!("{good}[[key]]\n"));
}

#[test]
fn entry_that_keygen_prints_can_be_appended_to_the_keyset() {
    let project = Project::new();
    for (suite, name) in [("S", "s.key"), ("M", "m.key"), ("E", "e.key"), ("SE", "se.key"), ("SP", "p.key")] {
        let run = project.run(&keygen(suite, &["--out", name, "--label", "a \"label\"\n"]));
        let mut keyset = fs::read(project.path("keyset.toml")).unwrap();
        keyset.extend(&run.ok().out);
        fs::write(project.path("keyset.toml"), keyset).unwrap();
    }

    let keyring = Keyring::load(&project.path("keyset.toml")).unwrap();

    assert_eq!(keyring.records().filter(|record| record.label() == Some("a \"label\"\n")).count(), 5);
    project.run_with(&OPEN, &project.seal(b"")).ok();
}

#[test]
fn keygen_appends_the_entry_that_it_prints_and_names_a_shared_key_relative_to_the_keyset() {
    let project = Project::new();
    let before = fs::read_to_string(project.path("keyset.toml")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (keyset, shared) = (project.path("keyset.toml"), project.path("keys/shared.key"));
    let arguments = ["--out", shared.to_str().unwrap(), "--append", keyset.to_str().unwrap()];

    let run = run_in(elsewhere.path(), &keygen("SE", &arguments), b"");

    assert!(run.ok().err.contains("appended the entry to "), "{run:?}");
    assert!(run.text().contains("secret_file = \"keys/shared.key\"\n"), "{run:?}");
    assert_eq!(fs::read_to_string(&keyset).unwrap(), before + &run.text());
    assert_eq!(Keyring::load(&keyset).unwrap().records().count(), 5);
}

#[test]
fn state_and_times_of_the_key_are_in_its_entry() {
    let project = Project::new();
    let times = ["--use-from", "2030-01-31", "--sign-until", "2031-01-31T08:00:00Z", "--state", "staged"];
    let arguments = [&["--out", "k", "--append", "keyset.toml"][..], &times].concat();

    let entry = project.run(&keygen("S", &arguments)).ok().text();

    assert!(entry.contains("state = \"staged\"\nuse_from = \"2030-01-31T00:00:00Z\"\n"), "{entry}");
    let keyring = Keyring::load(&project.path("keyset.toml")).unwrap();
    let until: Vec<_> = keyring.records().filter_map(Record::sign_until).collect();
    assert_eq!(until, [1_927_612_800]);
}

#[test]
fn keygen_accepts_either_name_of_a_suite() {
    let project = Project::new();
    for (short_name, name) in [("M", "mac"), ("E", "encrypt"), ("SE", "sign-encrypt")] {
        let entry = |suite: &str| {
            let entry =
                project.run(&keygen(suite, &["--out", &format!("{suite}.key"), "--json"])).ok().json();
            let rights =
                entry["entry"].as_str().unwrap().lines().filter(|line| line.contains("[\"*\"]")).count();
            (entry["alg"].clone(), entry["use"].clone(), rights)
        };
        assert_eq!(entry(short_name), entry(name), "{name}");
    }
}
