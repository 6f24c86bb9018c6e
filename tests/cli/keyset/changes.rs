//! Changes that are refused, and changes that are forced.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;

use crate::support::keyset::KeysetFolder;
use crate::support::program::run_in;

#[test]
fn staged_key_is_not_activated_before_it_is_signed_and_distributed_unless_forced() {
    let folder = KeysetFolder::waiting();
    folder.add("old.key", "--state primary");
    let new = folder.add("new.key", "");
    let unsigned = folder.run(&format!("activate {new}"));
    assert!(unsigned.failed(6).hinted().err.contains("the signed keyset does not have key"), "{unsigned:?}");
    folder.sign();
    let before = folder.draft();

    let early = folder.run(&format!("activate {new}"));

    assert!(early.failed(6).hinted().err.contains("not every host may have the present state"), "{early:?}");
    let dry = folder.run(&format!("activate {new} --force --dry-run"));
    assert!(dry.ok().err.contains("overridden: until "), "{dry:?}");
    assert_eq!(folder.draft(), before);
    folder.run(&format!("activate {new} --force")).ok();
    assert_eq!(folder.key(&new)["state"], "primary");
}

#[test]
fn disabled_key_does_not_seal_again_before_hosts_accept_it() {
    let folder = KeysetFolder::waiting();
    let kid = folder.add("a.key", "--state primary");
    folder.sign();
    for (retires, state) in [(false, "staged"), (true, "retiring")] {
        if retires {
            folder.run(&format!("activate {kid} --force")).ok();
            folder.run(&format!("retire {kid}")).ok();
        }
        folder.run(&format!("disable {kid} --force")).ok();
        folder.sign();
        folder.run(&format!("enable {kid} --state primary")).failed(2);
        let disabled = folder.run(&format!("activate {kid}"));
        assert!(disabled.failed(2).hinted().err.contains(&format!("keyset enable {kid}`")), "{disabled:?}");
        folder.run(&format!("enable {kid}")).ok();

        let early = folder.run(&format!("activate {kid}"));

        let message = format!("the signed keyset does not have key {kid} as {state}");
        assert!(early.failed(6).hinted().err.contains(&message), "{early:?}");
    }
}

#[test]
fn key_whose_tasks_can_be_in_transit_is_not_disabled_unless_forced() {
    let folder = KeysetFolder::new();
    let old = folder.add("old.key", "--state primary");
    let new = folder.add("new.key", "");
    folder.sign();
    let primary = folder.run(&format!("disable {old}"));
    assert!(primary.failed(6).hinted().err.contains("is primary: tasks that it sealed"), "{primary:?}");
    folder.run(&format!("activate {new}")).ok();
    let unsigned = folder.run(&format!("disable {old}"));
    assert!(unsigned.failed(6).hinted().err.contains("does not have key"), "{unsigned:?}");
    folder.sign();

    let early = folder.run(&format!("disable {old}"));

    assert!(early.failed(6).hinted().err.contains("tasks can arrive that it sealed"), "{early:?}");
    assert_eq!(folder.key(&old)["state"], "retiring");
    let forced = folder.run(&format!("disable {old} --force"));
    assert!(forced.ok().err.contains("overridden: until "), "{forced:?}");
    // Nothing is sealed with a staged key.
    let staged = folder.add("staged.key", "");
    folder.run(&format!("disable {staged}")).ok();
}

#[test]
fn change_that_waits_for_hosts_says_that_no_process_was_asked_without_a_configuration() {
    let folder = KeysetFolder::new();
    folder.add("old.key", "--state primary");
    let new = folder.add("new.key", "");
    folder.sign();
    const NOT_ASKED: &str = "running processes were not asked; run `taskseal fleet ls`";

    let run = folder.run(&format!("activate {new}"));

    assert!(run.ok().err.contains(NOT_ASKED), "{run:?}");
    let run = run_in(folder.dir.path(), &["rotate", "signing", "--dry-run"], b"");
    assert!(run.ok().err.contains(NOT_ASKED), "{run:?}");
}

#[test]
fn time_of_distribution_begins_when_the_state_is_signed() {
    let folder = KeysetFolder::waiting();
    folder.add("old.key", "--state primary");
    let new = folder.add("new.key", "");
    folder.set(&new, "since", "2026-01-01T00:00:00Z");
    folder.sign();

    folder.run(&format!("activate {new}")).failed(6);

    // The next keyset with the same state does not begin it again.
    folder.set(&new, "since", "2026-01-01T00:00:00Z");
    folder.sign();
    folder.run(&format!("activate {new}")).ok();
}

#[test]
fn key_is_not_destroyed_while_it_is_accepted_or_before_every_host_refuses_it() {
    let folder = KeysetFolder::waiting();
    let kid = folder.add("a.key", "--state primary");
    folder.add("b.key", "--state primary");
    folder.sign();
    let accepted = folder.run(&format!("destroy {kid}"));
    assert!(accepted.failed(2).hinted().err.contains("disable it first"), "{accepted:?}");
    folder.run(&format!("retire {kid}")).ok();
    folder.sign();
    folder.run(&format!("disable {kid} --force")).ok();
    folder.run(&format!("destroy {kid}")).failed(6);
    folder.sign();
    folder.set(&kid, "since", "2026-01-01T00:00:00Z");

    // Its tasks may arrive until then, on a host with an older keyset.
    let early = folder.run(&format!("destroy {kid}"));

    assert!(early.failed(6).hinted().err.contains("until "), "{early:?}");
}

#[test]
fn key_with_several_predecessors_is_activated_only_if_the_command_names_one() {
    let folder = KeysetFolder::new();
    let first = folder.add("a.key", "--state primary");
    let second = folder.add("b.key", "--state primary");
    let new = folder.add("c.key", "");
    let other = folder.add("d.key", "");
    folder.sign();
    let run = folder.run(&format!("activate {new}"));
    assert!(run.failed(2).hinted().err.contains("several primary keys"), "{run:?}");
    folder.run(&format!("activate {new} --replaces {other}")).failed(2).hinted();

    folder.run(&format!("activate {new} --replaces {first}")).ok();
    folder.run(&format!("activate {other} --beside")).ok();

    let state = |kid: &str| folder.key(kid)["state"].clone();
    assert_eq!(
        [state(&first), state(&second), state(&new), state(&other)],
        ["retiring", "primary", "primary", "primary"]
    );
}

#[test]
fn entry_of_a_root_of_a_known_key_or_without_a_key_is_not_added() {
    let folder = KeysetFolder::new();
    folder.add("a.key", "");
    let before = folder.draft();
    let rights = ["--issuer", "shop", "--type", "*", "--audience", "prod/*"];
    let entry_of = |key: &str| {
        run_in(folder.dir.path(), &[&["key", "entry", key][..], &rights].concat(), b"").ok().out.clone()
    };
    for (entry, message) in [
        (entry_of("root.key"), "is a root"),
        (entry_of("second.key"), "is a root"),
        (entry_of("a.key"), "duplicate kid"),
        (before.clone().into_bytes(), "has a table [keyset]"),
        (b"# nothing\n".to_vec(), "has no entries"),
        (b"[[key]]\n".to_vec(), "missing field `kid`"),
        (vec![0xff], "not UTF-8"),
    ] {
        let run = folder.run_with("add -", &entry);
        assert!(run.failed(2).err.contains(message), "{run:?}");
    }
    folder.run_with("add - --dry-run", &folder.entry("b.key")).ok();
    assert_eq!(folder.draft(), before);
}

#[test]
fn change_of_an_unknown_key_or_in_a_keyset_that_others_can_change_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = KeysetFolder::new();
    let kid = folder.add("a.key", "");
    folder.run("retire 0011223344556677").failed(4).hinted();
    folder.run("retire 0011").failed(2);
    folder.run(&format!("retire {kid}")).failed(2).hinted();
    folder.run(&format!("retire {kid} --keyset none.toml")).failed(2);

    fs::set_permissions(folder.path("keyset.toml"), fs::Permissions::from_mode(0o666)).unwrap();

    folder.run(&format!("disable {kid}")).failed(2).hinted();
    fs::set_permissions(folder.path("keyset.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    folder.run(&format!("disable {kid}")).ok();
    let mode = fs::metadata(folder.path("keyset.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn two_commands_do_not_change_a_keyset_at_once() {
    let folder = KeysetFolder::new();
    let kid = folder.add("a.key", "--state primary");
    let lock = fs::File::open(folder.dir.path()).unwrap();
    lock.lock().unwrap();

    for command in [format!("retire {kid}"), "sign --root root.key".to_owned()] {
        let run = folder.run(&command);
        assert!(run.failed(5).hinted().err.contains("another command changes the keyset"), "{run:?}");
    }

    drop(lock);
    folder.sign();
}
