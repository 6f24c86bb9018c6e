//! The whole life of a key, by the commands of the guide.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use crate::support::keyset::KeysetFolder;

/// A time that has passed.
const PAST: &str = "2026-01-01T00:00:00Z";

#[test]
fn key_is_staged_activated_retired_disabled_destroyed_and_removed() {
    let folder = KeysetFolder::new();
    let old = folder.add("old.key", "--state primary");
    assert_eq!(folder.sign(), 1);
    let new = folder.add("new.key", "");
    assert_eq!(folder.key(&new)["state"], "staged");
    assert_eq!(folder.sign(), 2);

    let run = folder.run(&format!("activate {new} --json"));

    let changed = run.ok().json()["changed"].clone();
    assert_eq!(
        (&changed[0]["to"], &changed[1]["kid"], &changed[1]["to"]),
        (&"primary".into(), &old.as_str().into(), &"retiring".into())
    );
    let retired = folder.key(&old);
    assert!(retired["accept_until"].as_str() > retired["sign_until"].as_str(), "{retired}");
    assert_eq!(folder.sign(), 3);
    // Its last task has arrived.
    folder.set(&old, "sign_until", PAST);
    folder.set(&old, "accept_until", PAST);
    folder.run(&format!("disable {old}")).ok();
    assert_eq!(folder.sign(), 4);
    folder.run(&format!("destroy {old}")).ok();
    assert_eq!(folder.sign(), 5);
    folder.run(&format!("remove {old}")).ok();
    assert_eq!(folder.sign(), 6);

    let verified = folder.run("verify --json").ok().json();
    assert_eq!((verified["sequence"].as_u64(), verified["name"].as_str()), (Some(6), Some("prod")));
    assert!(!folder.draft().contains(&old), "{}", folder.draft());
    assert_eq!(folder.run("show keyset.cose --json").ok().json()["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn key_that_alone_seals_is_revoked_and_retired_with_a_warning() {
    let folder = KeysetFolder::new();
    let only = folder.add("a.key", "--state primary");
    for command in ["revoke", "retire"] {
        let run = folder.run(&format!("{command} {only} --dry-run"));
        assert!(run.ok().err.contains("nothing will be sealed in its place"), "{run:?}");
    }
    folder.add("b.key", "--state primary");
    let run = folder.run(&format!("revoke {only}"));
    assert!(!run.ok().err.contains("nothing will be sealed"), "{run:?}");
}

#[test]
fn revoked_key_is_destroyed_without_waiting_for_its_tasks() {
    let folder = KeysetFolder::new();
    let kid = folder.add("a.key", "--state primary");
    folder.add("b.key", "--state primary");
    folder.sign();

    let run = folder.run(&format!("revoke {kid}"));

    assert!(run.ok().err.contains("taskseal keyset sign; taskseal keyset publish; seal again"), "{run:?}");
    assert!(run.err.contains(&format!("`taskseal quarantine ls --kid {kid}`")), "{run:?}");
    folder.sign();
    let enabled = folder.run(&format!("enable {kid}"));
    assert!(enabled.failed(2).hinted().err.contains("it cannot be enabled again"), "{enabled:?}");
    folder.run(&format!("destroy {kid}")).ok();
    folder.sign();
}

#[test]
fn rotation_is_reverted_and_a_disabled_key_is_enabled() {
    let folder = KeysetFolder::new();
    let old = folder.add("old.key", "--state primary");
    let new = folder.add("new.key", "");
    folder.sign();
    folder.run(&format!("activate {new}")).ok();
    folder.sign();

    folder.run(&format!("activate {old}")).ok();

    let (old_key, new_key) = (folder.key(&old), folder.key(&new));
    assert_eq!((&old_key["state"], &new_key["state"]), (&"primary".into(), &"retiring".into()));
    assert!(old_key.get("accept_until").is_none(), "{old_key}");
    folder.sign();
    folder.run(&format!("disable {new} --force")).ok();
    folder.sign();
    folder.run(&format!("enable {new}")).ok();
    assert_eq!(folder.key(&new)["state"], "retiring");
    folder.run(&format!("disable {new} --force")).ok();
    folder.run(&format!("enable {new} --state staged")).ok();
    assert_eq!(folder.key(&new)["state"], "staged");
}

#[test]
fn enabled_key_is_not_activated_before_every_host_accepts_it_again() {
    let folder = KeysetFolder::new();
    let old = folder.add("old.key", "--state primary");
    let new = folder.add("new.key", "");
    folder.sign();
    folder.run(&format!("activate {new}")).ok();
    folder.sign();
    folder.edit("distribution = \"0s\"", "distribution = \"10m\"");
    folder.run(&format!("disable {old} --force")).ok();
    folder.sign();
    folder.run(&format!("enable {old}")).ok();
    assert_eq!(folder.key(&old)["state"], "retiring");
    folder.sign();

    let refused = folder.run(&format!("activate {old}"));
    assert!(refused.failed(6).hinted().err.contains("not every host may have"), "{refused:?}");

    folder.set(&old, "since", PAST);
    folder.run(&format!("activate {old}")).ok();
    assert_eq!(folder.key(&old)["state"], "primary");
}

#[test]
fn keyset_of_one_machine_needs_no_signature() {
    let folder = KeysetFolder::new();
    std::fs::write(folder.path("keyset.toml"), "# one machine\n").unwrap();
    let old = folder.add("old.key", "--state primary");
    let new = folder.add("new.key", "");
    folder.run(&format!("activate {new}")).failed(6).hinted();
    folder.set(&new, "since", PAST);

    folder.run(&format!("activate {new}")).ok();

    assert_eq!(folder.key(&old)["state"], "retiring");
    assert!(folder.draft().starts_with("# one machine\n"), "{}", folder.draft());
    let run = folder.run("sign --root root.key");
    assert!(run.failed(2).hinted().err.contains("has no table [keyset]"), "{run:?}");
    assert!(folder.run("show").ok().err.contains("is not signed"));
}
