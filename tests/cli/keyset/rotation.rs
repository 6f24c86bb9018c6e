//! `taskseal rotate`: the steps of a rotation, taken one after the other by the same command.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::process::{Command, Stdio};

use serde_json::Value;
use taskseal_tests::token_folder::TokenFolder;

use crate::support::keyset::KeysetFolder;
use crate::support::program::{Run, run_in};
use crate::support::token::RunWithToken;

const PAST: &str = "2026-01-01T00:00:00Z";

fn rotate(folder: &KeysetFolder, arguments: &str) -> Run {
    let arguments: Vec<_> = ["rotate"].into_iter().chain(arguments.split_whitespace()).collect();
    run_in(folder.dir.path(), &arguments, b"")
}

fn steps(run: &Run) -> Vec<Value> {
    run.ok().json()["steps"].as_array().unwrap().clone()
}

#[test]
fn keys_with_other_rights_and_missing_keys_are_not_rotated_together() {
    let folder = KeysetFolder::new();
    rotate(&folder, "signing").failed(4).hinted();
    let kid = folder.add("a.key", "--state primary");
    let other = ["keygen", "sign", "--out", "b.key", "--issuer", "other", "--type", "*", "--audience", "*"];
    let entry = run_in(folder.dir.path(), &other, b"").ok().out.clone();
    folder.run_with("add - --state primary", &entry).ok();
    let before = folder.draft();

    let run = rotate(&folder, "signing --out c.key");

    assert!(run.failed(2).hinted().err.contains("other rights"), "{run:?}");
    rotate(&folder, "agreement").failed(4).hinted();
    rotate(&folder, &format!("result --key {kid}")).failed(4).hinted();
    assert!(folder.draft() == before && !folder.path("c.key").exists());
    rotate(&folder, &format!("signing --key {kid} --out c.key")).ok();
}

#[test]
fn rotation_waits_for_each_step_and_ends_with_the_old_key_destroyed() {
    let folder = KeysetFolder::waiting();
    let old = folder.add("old.key", "--state primary");
    folder.sign();
    let generated = steps(&rotate(&folder, "signing --out new.key --json"));
    let new = generated[0]["kid"].as_str().unwrap().to_owned();
    assert_eq!(folder.key(&new)["issuers"], folder.key(&old)["issuers"]);
    // Not signed, then not distributed.
    for _ in 0..2 {
        let waits = steps(&rotate(&folder, "signing --out other.key --json"));
        assert_eq!((waits.len(), &waits[0]["waits_to"]), (1, &"activate".into()));
        folder.sign();
    }
    folder.set(&new, "since", PAST);
    assert!(rotate(&folder, "signing --dry-run").ok().text().contains("staged -> primary"));
    assert_eq!(steps(&rotate(&folder, "signing --json")).len(), 2);
    assert_eq!(
        (&folder.key(&new)["state"], &folder.key(&old)["state"]),
        (&"primary".into(), &"retiring".into())
    );
    folder.sign();
    assert_eq!(steps(&rotate(&folder, "signing --json"))[0]["waits_to"], "disable");
    folder.set(&old, "sign_until", PAST);
    folder.set(&old, "accept_until", PAST);
    assert_eq!(steps(&rotate(&folder, "signing --json"))[0]["to"], "disabled");
    folder.sign();
    folder.set(&old, "since", PAST);

    let last = steps(&rotate(&folder, "signing --json"));

    assert_eq!((last.len(), &last[0]["to"]), (1, &"destroyed".into()));
    folder.sign();
    assert!(!folder.path("other.key").exists());
}

#[test]
fn scheduled_rotation_begins_when_the_primary_key_is_old_enough() {
    let folder = KeysetFolder::new();
    let kid = folder.add("a.key", "--state primary");
    folder.sign();
    let early = rotate(&folder, "signing --every 90d --out b.key");
    assert!(early.ok().out.is_empty() && early.err.contains("nothing is due"), "{early:?}");
    folder.set(&kid, "since", PAST);

    // Without a place for the key, the command for the host that uses it is printed.
    let run = rotate(&folder, "signing --every 90d");

    let commands = "taskseal keygen sign --out FILE --issuer shop --type '*' --audience 'prod/*' > entry.toml; taskseal keyset add entry.toml";
    assert!(run.ok().err.contains(commands), "{run:?}");
    rotate(&folder, "signing --every 90d --out b.key").ok();
    assert!(folder.path("b.key").exists());
}

#[test]
fn every_kind_of_key_begins_a_rotation_with_a_key_of_its_kind() {
    let folder = KeysetFolder::new();
    let rights = ["--issuer", "shop", "--type", "*", "--audience", "prod/*"];
    for (purpose, arguments, algorithm) in [
        ("result", &["sign", "--use", "result"][..], "ES256"),
        ("agreement", &["receive"], "ECDH-ES"),
        ("shared", &["shared", "--suite", "M"], "HS256"),
    ] {
        let out = format!("{purpose}.key");
        let rights = if purpose == "agreement" { &[][..] } else { &rights };
        let keygen = [&["keygen"], arguments, &["--out", &out], rights].concat();
        let entry = run_in(folder.dir.path(), &keygen, b"").ok().out.clone();
        folder.run_with("add - --state primary", &entry).ok();
        folder.sign();

        let steps = steps(&rotate(&folder, &format!("{purpose} --out {purpose}-2.key --json")));

        let new = folder.key(steps[0]["kid"].as_str().unwrap());
        assert_eq!((&new["alg"], &new["state"]), (&algorithm.into(), &"staged".into()), "{new}");
        assert_eq!(new["use"], if purpose == "result" { "result" } else { "task" });
    }
}

#[test]
fn printed_commands_give_the_next_key_the_label_and_the_rights_of_the_key_in_use() {
    let folder = KeysetFolder::new();
    for (purpose, keygen, algorithm) in
        [("result", "sign --use result", "ES256"), ("agreement", "receive", "ECDH-ES")]
    {
        let out = format!("{purpose}.key");
        let arguments = format!("keygen {keygen} --issuer * --type file:* --audience prod/* --out {out}");
        let mut arguments: Vec<_> = arguments.split(' ').collect();
        arguments.extend(["--label", "of host a's worker"]);
        let entry = run_in(folder.dir.path(), &arguments, b"").ok().out.clone();
        folder.run_with("add - --state primary", &entry).ok();
        let run = rotate(&folder, &format!("{purpose} --json"));
        let next = run.ok().json()["next"].clone();
        let [generate, add] = [&next[0], &next[1]].map(|command| command.as_str().unwrap().to_owned());

        in_shell(&folder, &generate.replace("FILE", &format!("{purpose}-2.key")));
        in_shell(&folder, &add);

        let shown = folder.run("show --json").ok().json();
        let keys = shown["keys"].as_array().unwrap().iter().filter(|key| key["alg"] == algorithm);
        let [one, other] = keys.collect::<Vec<_>>()[..] else { panic!("{shown}") };
        for field in ["label", "use", "issuers", "types", "audiences"] {
            assert!(one[field] == other[field] && !one[field].is_null(), "{field}: {shown}");
        }
    }
}

/// Runs a command that was printed, as a POSIX shell reads it.
fn in_shell(folder: &KeysetFolder, command: &str) {
    let command = command.replacen("taskseal", env!("CARGO_BIN_EXE_taskseal"), 1);
    let mut run = Command::new("sh");
    run.args(["-c", &command]).current_dir(folder.dir.path());
    let status = run.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.unwrap().success(), "{command}");
}

#[test]
fn next_key_is_generated_in_a_token() {
    let tokens = TokenFolder::new();
    let folder = KeysetFolder { dir: tempfile::tempdir().unwrap() };
    folder.run("init --name prod --root root.key").ok();
    folder.add("a.key", "--state primary");
    folder.sign();
    let uri = tokens.uri("token=plant;object=next");

    let run = tokens.run_in(folder.dir.path(), &["rotate", "signing", "--pkcs11", &uri, "--json"]);

    assert_eq!(folder.key(steps(&run)[0]["kid"].as_str().unwrap())["state"], "staged");
    let shown = tokens.run_in(folder.dir.path(), &["key", "show", &uri, "--json"]);
    assert_eq!(shown.ok().json()["kid"], steps(&run)[0]["kid"]);
}
