//! Signing: what the next keyset continues, which changes it may have, and what a host verifies.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;

use crate::support::keyset::KeysetFolder;

/// A folder with two signed keysets, whose files are also kept under other names.
fn signed_twice() -> KeysetFolder {
    let folder = KeysetFolder::new();
    folder.add("a.key", "--state primary");
    for number in 1..=2 {
        assert_eq!(folder.sign(), number);
        for name in ["keyset.cose", "keyset.checkpoint", "keyset.toml"] {
            fs::copy(folder.path(name), folder.path(&format!("{name}.{number}"))).unwrap();
        }
    }
    folder
}

fn restore(folder: &KeysetFolder, name: &str, number: u32) {
    fs::copy(folder.path(&format!("{name}.{number}")), folder.path(name)).unwrap();
}

fn refused(folder: &KeysetFolder, message: &str) {
    let run = folder.run("sign --root root.key");
    run.failed(3).hinted();
    assert!(run.err.contains(message) && run.err.contains("--last"), "{run:?}");
}

#[test]
fn lost_or_older_copy_of_the_last_keyset_is_not_continued() {
    let folder = signed_twice();
    fs::remove_file(folder.path("keyset.checkpoint")).unwrap();
    refused(&folder, "keyset.checkpoint is missing");
    restore(&folder, "keyset.checkpoint", 1);
    refused(&folder, "one of them is an older copy");
    restore(&folder, "keyset.cose", 1);
    refused(&folder, "keyset 2 was signed");
    restore(&folder, "keyset.checkpoint", 2);
    fs::remove_file(folder.path("keyset.cose")).unwrap();
    refused(&folder, "keyset.cose is missing");
    fs::remove_file(folder.path("keyset.checkpoint")).unwrap();
    refused(&folder, "keyset 2 was signed");
    fs::write(folder.path("keyset.checkpoint"), "").unwrap();
    folder.run("sign --root root.key").failed(1).hinted();
}

/// A folder whose second keyset revoked a key that the draft has as primary again.
fn revoked_and_back() -> KeysetFolder {
    let folder = KeysetFolder::new();
    folder.add("a.key", "--state primary");
    let kid = folder.add("b.key", "--state primary");
    folder.sign();
    fs::copy(folder.path("keyset.cose"), folder.path("keyset.cose.1")).unwrap();
    let draft = folder.draft();
    folder.run(&format!("revoke {kid}")).ok();
    assert_eq!(folder.sign(), 2);
    fs::write(folder.path("keyset.toml"), draft.replace("sequence = 1\n", "sequence = 2\n")).unwrap();
    folder
}

#[test]
fn revoked_key_is_not_signed_again_with_an_older_keyset() {
    let folder = revoked_and_back();
    let signed = folder.read("keyset.cose");
    folder.run("sign --root root.key").failed(2).hinted();
    // The checkpoint is that of the second keyset.
    let named = folder.run("sign --root root.key --last keyset.cose.1");
    assert!(named.failed(3).hinted().err.contains("the newest one here is 1"), "{named:?}");
    assert_eq!(folder.read("keyset.cose"), signed);
    folder.edit("sequence = 2\n", "sequence = 1\n");
    folder.run("sign --root root.key --last keyset.cose.1").failed(3).hinted();

    let gap = folder.run("sign --root root.key --last keyset.cose.1 --sequence 4");

    assert!(gap.ok().err.contains("signed after keyset 1 are not checked"), "{gap:?}");
}

#[test]
fn older_copy_of_the_keyset_is_not_taken_for_a_crash() {
    let folder = revoked_and_back();
    fs::copy(folder.path("keyset.cose.1"), folder.path("keyset.cose")).unwrap();
    refused(&folder, "one of them is an older copy");
    let first = KeysetFolder::new();
    first.add("a.key", "--state primary");
    first.sign();
    fs::remove_file(first.path("keyset.cose")).unwrap();
    refused(&first, "keyset.cose is missing");
}

#[test]
fn newest_keyset_from_a_host_is_continued() {
    let folder = signed_twice();
    fs::remove_file(folder.path("keyset.checkpoint")).unwrap();
    let older = folder.run("sign --root root.key --last keyset.cose.1");
    assert!(older.failed(3).hinted().err.contains("--sequence 4"), "{older:?}");

    let run = folder.run("sign --root root.key --last keyset.cose.2 --json");

    assert_eq!(run.ok().json()["sequence"], 3);
    assert_eq!(folder.sign(), 4);
}

#[test]
fn history_whose_newest_keyset_is_lost_continues_after_a_gap_that_every_host_accepts() {
    let folder = signed_twice();
    fs::remove_file(folder.path("keyset.checkpoint")).unwrap();
    folder.run("sign --root root.key --last keyset.cose.1 --sequence 3").failed(2).hinted();

    let run = folder.run("sign --root root.key --last keyset.cose.1 --sequence 4 --json");

    assert_eq!(run.ok().json()["sequence"], 4);
    // Hosts have the checkpoint of the first or the second keyset.
    for number in 1..=2 {
        fs::copy(folder.path("keyset.cose"), folder.path("host.cose")).unwrap();
        fs::copy(folder.path("keyset.toml"), folder.path("host.toml")).unwrap();
        fs::copy(folder.path(&format!("keyset.checkpoint.{number}")), folder.path("host.checkpoint"))
            .unwrap();
        folder.run("verify host.cose").ok();
    }
    assert_eq!(folder.sign(), 5);
}

#[test]
fn signing_resumes_after_a_crash_between_checkpoint_and_keyset() {
    let folder = signed_twice();
    // What a crash leaves: the checkpoint of the second keyset, and the files of the first.
    restore(&folder, "keyset.cose", 1);
    restore(&folder, "keyset.toml", 1);

    let run = folder.run("sign --root root.key --json");

    assert!(run.ok().err.contains("keyset 2 was signed and not stored"), "{run:?}");
    assert_eq!(run.json()["sequence"], 3);
    let first = KeysetFolder::new();
    first.add("a.key", "--state primary");
    first.sign();
    fs::remove_file(first.path("keyset.cose")).unwrap();
    first.edit("sequence = 1\n", "");
    assert_eq!(first.sign(), 2);
}

#[test]
fn change_that_hosts_would_not_understand_is_not_signed() {
    let folder = KeysetFolder::new();
    let kid = folder.add("a.key", "--state primary");
    let other = folder.add("b.key", "--state primary");
    folder.sign();
    let good = folder.draft();
    let start = good.find(&format!("[[key]]\nkid = \"{other}\"")).unwrap();
    folder.edit(&good[start..], "");
    let removed = folder.run("sign --root root.key");
    assert!(removed.failed(2).hinted().err.contains("was removed and is primary"), "{removed:?}");

    fs::write(folder.path("keyset.toml"), &good).unwrap();
    folder.set(&kid, "state", "staged");
    let back = folder.run("sign --root root.key");
    assert!(
        back.failed(2).hinted().err.contains("is primary in the signed keyset and cannot become staged"),
        "{back:?}"
    );

    fs::write(folder.path("keyset.toml"), &good).unwrap();
    let rights = "issuers = [\"shop\"]\ntypes = [\"*\"]\naudiences = [\"prod/*\"]\n";
    folder.edit("alg = \"ES256\"", "alg = \"ECDH-ES\"");
    folder.edit(rights, "");
    let changed = folder.run("sign --root root.key");
    assert!(changed.failed(2).hinted().err.contains("purpose of"), "{changed:?}");
    fs::write(folder.path("keyset.toml"), &good).unwrap();
    folder.sign();
}

#[test]
fn unsigned_changes_are_counted_and_a_dry_run_signs_nothing() {
    let folder = KeysetFolder::new();
    let kid = folder.add("a.key", "--state primary");
    assert_eq!(folder.run("show --json").ok().json()["unsigned_changes"], 1);
    folder.sign();
    folder.add("b.key", "");
    folder.add("c.key", "");
    folder.run(&format!("retire {kid}")).ok();
    let before = (folder.draft(), folder.read("keyset.cose"), folder.read("keyset.checkpoint"));

    let shown = folder.run("show");

    assert!(shown.ok().err.contains("3 changes are not signed"), "{shown:?}");
    assert_eq!(folder.run("sign --root root.key --dry-run --json").ok().json()["sequence"], 2);
    assert_eq!((folder.draft(), folder.read("keyset.cose"), folder.read("keyset.checkpoint")), before);
    folder.sign();
    assert_eq!(folder.run("show --json").ok().json()["unsigned_changes"], 0);
}

#[test]
fn changed_keyset_is_refused_with_its_code() {
    let folder = signed_twice();
    let good = folder.read("keyset.cose");
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    for (bytes, code) in [
        (&good[..good.len() - 1], "(malformed)"),
        (&bad[..], "(rejected)"),
        (&folder.read("keyset.cose.1")[..], "(rolled-back)"),
        (&vec![0; 70_000][..], "(too-large)"),
    ] {
        fs::write(folder.path("keyset.cose"), bytes).unwrap();
        let run = folder.run("verify");
        assert!(run.failed(3).hinted().err.contains(code), "{run:?}");
        let publish = folder.run("publish --to public.cose");
        assert!(publish.failed(3).hinted().err.contains(code), "{publish:?}");
    }
    fs::write(folder.path("keyset.cose"), &good).unwrap();
    let public =
        folder.draft().lines().find_map(|line| line.strip_prefix("roots = [\"")).unwrap()[..87].to_owned();
    let named = |name: &str| folder.run(&format!("verify --name {name} --roots {public}"));
    assert!(named("other").failed(3).err.contains("(wrong-name)"));
    named("prod").ok();
    assert!(!folder.path("public.cose").exists());
    folder.run("verify none.cose").failed(5).hinted();
    fs::copy(folder.path("keyset.cose"), folder.path("alone.cose")).unwrap();
    fs::remove_file(folder.path("keyset.toml")).unwrap();
    folder.run("verify alone.cose").failed(2).hinted();
}

#[test]
fn published_keyset_is_replaced_only_by_a_newer_one() {
    let folder = signed_twice();
    folder.run("publish --to public.cose --dry-run").ok();
    assert!(!folder.path("public.cose").exists());
    folder.run("publish --to public.cose").ok();
    restore(&folder, "keyset.cose", 1);
    restore(&folder, "keyset.checkpoint", 1);

    let older = folder.run("publish --to public.cose");

    assert!(older.failed(3).hinted().err.contains("(rolled-back)"), "{older:?}");
    // What does not verify is replaced: any program may have written there.
    fs::write(folder.path("public.cose"), b"garbage").unwrap();
    folder.run("publish --to public.cose").ok();
    assert_eq!(folder.read("public.cose"), folder.read("keyset.cose.1"));
}

#[test]
fn keyset_that_would_expire_before_it_is_distributed_is_not_signed() {
    let folder = KeysetFolder::waiting();
    folder.add("a.key", "--state primary");
    folder.run("sign --root root.key --lifetime 10m").failed(2).hinted();
    folder.run("sign --root root.key --lifetime 11m").ok();
    let empty = KeysetFolder::new();
    empty.run("sign --root root.key").failed(2).hinted();
}
