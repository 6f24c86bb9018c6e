//! Root keys: which ones a draft gets, and which ones sign it.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::keygen::keygen;
use crate::support::keyset::KeysetFolder;
use crate::support::program::run_in;

#[test]
fn second_root_signs_when_the_first_is_lost() {
    let folder = KeysetFolder::new();
    folder.add("a.key", "--state primary");
    folder.sign();
    fs::remove_file(folder.path("root.key")).unwrap();
    folder.run("sign --root root.key").failed(5);

    let run = folder.run("sign --root second.key --json");

    assert_eq!(run.ok().json()["sequence"], 2);
    folder.run("verify").ok();
}

#[test]
fn key_that_is_not_a_root_signs_nothing() {
    let folder = KeysetFolder::new();
    folder.add("a.key", "--state primary");
    run_in(folder.dir.path(), &keygen("SP", &["--out", "decrypt.key"]), b"").ok();

    let run = folder.run("sign --root a.key");

    assert!(run.failed(2).hinted().err.contains("is not a root of this keyset"), "{run:?}");
    folder.run("sign --root decrypt.key").failed(2).hinted();
    folder.run("sign --root none:key").failed(2).hinted();
    assert!(!folder.path("keyset.cose").exists() && !folder.path("keyset.checkpoint").exists());
}

#[test]
fn root_that_is_a_key_of_the_keyset_is_not_signed() {
    let folder = KeysetFolder::new();
    let kid = folder.add("a.key", "--state primary");
    let public = folder.draft().lines().find_map(|line| line.strip_prefix("public = ")).unwrap().to_owned();
    let second = folder.draft().lines().find_map(|line| line.strip_prefix("roots = ")).unwrap().to_owned();
    let (first, _) = second.split_once(',').unwrap();
    folder.edit(&second, &format!("{first}, {public}]"));

    let run = folder.run("sign --root root.key");

    assert!(run.failed(3).hinted().err.contains("(root-in-keyset)"), "{kid} {run:?}");
    folder.run("sign --root a.key").failed(2).hinted();
    assert!(!folder.path("keyset.cose").exists());
}

#[test]
fn draft_is_created_once_and_with_two_different_roots() {
    let folder = KeysetFolder::new();
    let again = folder.run("init --name prod --root other.key");
    assert!(again.failed(1).hinted().err.contains("has a table [keyset] already"), "{again:?}");
    assert!(!folder.path("other.key").exists());
    fs::remove_file(folder.path("keyset.toml")).unwrap();
    folder.run("init --name prod --root root.key --second-root root.key").failed(2).hinted();
    folder.run("init --name prod --root no/folder.key").failed(5).hinted();
    assert!(!folder.path("keyset.toml").exists());

    let run = folder.run("init --name prod --root root.key");

    assert!(run.ok().text().starts_with("roots = [\"B"), "{run:?}");
    let mode = fs::metadata(folder.path("root.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn copy_of_the_keyset_is_verified_with_the_roots_of_the_draft_in_the_current_folder() {
    let folder = KeysetFolder::new();
    folder.add("a.key", "--state primary");
    folder.sign();
    fs::create_dir(folder.path("public")).unwrap();
    folder.run("publish --to public/keyset.cose").ok();
    fs::copy(folder.path("keyset.cose"), folder.path("old.cose")).unwrap();
    folder.sign();

    for command in
        ["show public/keyset.cose", "verify public/keyset.cose", "publish old.cose --to other.cose"]
    {
        let run = folder.run(command);
        assert!(run.ok().err.contains("name and roots are those of keyset.toml"), "{run:?}");
    }

    let foreign = KeysetFolder::new();
    foreign.add("a.key", "--state primary");
    foreign.sign();
    fs::copy(foreign.path("keyset.cose"), folder.path("public/keyset.cose")).unwrap();
    let run = folder.run("verify public/keyset.cose");
    assert!(run.failed(3).hinted().err.contains("(unknown-root)"), "{run:?}");
}

#[test]
fn keyset_of_one_machine_becomes_a_signed_one() {
    let folder = KeysetFolder::new();
    let entry = String::from_utf8(folder.entry("a.key")).unwrap();
    fs::write(folder.path("keyset.toml"), format!("# my keys\n{entry}")).unwrap();

    folder.run("init --name prod --root root.key").ok();

    assert!(folder.draft().ends_with(&format!("# my keys\n{entry}")), "{}", folder.draft());
    assert_eq!(folder.sign(), 1);
    folder.run("verify").ok();
}
