//! The audit log: what operators do is recorded before it is done, and the log verifies.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::program::run_with_environment;
use crate::support::project::Project;
use crate::support::queue::{ONCE, terminate, until};

const LOG: &str = "state/audit.jsonl";

/// A project with an audit log whose checkpoints are signed after each line.
fn audited() -> Project {
    let project = Project::new();
    project.run(&["keygen", "audit", "--out", "keys/audit.key"]).ok();
    configure(&project, "key = \"keys/audit.key\"\ncheckpoint_lines = 1\n");
    project
}

fn configure(project: &Project, fields: &str) {
    let mut file = OpenOptions::new().append(true).open(project.path("taskseal.toml")).unwrap();
    file.write_all(format!("\n[audit]\n{fields}").as_bytes()).unwrap();
}

/// The lines of the log that match these arguments.
fn shown(project: &Project, arguments: &[&str]) -> Vec<Value> {
    let run = project.run(&[&["audit", "show", "--json"], arguments].concat());
    run.ok().text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Event and step of the lines, without those of the log itself.
fn steps(project: &Project) -> Vec<(String, String)> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let lines = shown(project, &[]);
    let steps = lines.iter().map(|line| (text(line, "event"), text(line, "step")));
    steps.filter(|(event, _)| event != "checkpoint" && !event.starts_with("log-")).collect()
}

fn step(event: &str, step: &str) -> (String, String) {
    (event.to_owned(), step.to_owned())
}

#[test]
fn start_of_a_worker_is_recorded_with_the_keyset_and_the_policy_that_it_has_loaded() {
    let project = audited();
    let worker = project.spawn(&["worker"], &[]);
    until("the worker is listed", || !project.run(&["fleet", "ls", "--json"]).ok().out.is_empty());
    let listed = project.run(&["fleet", "ls", "--json"]).ok().json();
    terminate(&worker);
    assert!(worker.wait_with_output().unwrap().status.success());

    let started = &shown(&project, &["--event", "worker-started"])[0];
    for fingerprint in ["keyset", "policy"] {
        assert_eq!(started[fingerprint], listed[fingerprint], "{started}");
        assert_eq!(started[fingerprint].as_str().unwrap().len(), 16, "{started}");
    }
    // The keyset is not signed.
    assert!(started.get("sequence").is_none(), "{started}");
}

#[test]
fn start_of_a_worker_has_the_number_of_its_signed_keyset() {
    let project = audited();
    let roots = project.run(&["keyset", "init", "--name", "local", "--root", "root.key"]).ok().text();
    project.edit("taskseal.toml", "[broker]", &format!("[keys]\n{roots}\n[broker]"));
    for sequence in 1..=2 {
        project.run(&["keyset", "sign", "--root", "root.key"]).ok();
        project.run(&ONCE).ok();
        let started = shown(&project, &["--event", "worker-started", "--last", "1"]);
        assert_eq!(started[0]["sequence"], sequence, "{started:?}");
    }
}

#[test]
fn log_whose_checkpoints_are_not_due_yet_verifies_from_the_first_line_on() {
    let project = Project::new();
    project.run(&["keygen", "audit", "--out", "keys/audit.key"]).ok();
    configure(&project, "key = \"keys/audit.key\"\n");
    for command in ["pause", "resume"] {
        project.run(&["queue", command, "default"]).ok();
        let verified = project.run(&["audit", "verify"]).ok().text();
        assert!(verified.contains("1 checkpoints verified"), "{verified}");
    }
    // Only the process that has created a log signs it at once: another one may have been given a log that was replaced.
    let log = fs::read_to_string(project.path(LOG)).unwrap();
    fs::write(project.path(LOG), log.lines().next().unwrap().to_owned() + "\n").unwrap();
    project.run(&["queue", "pause", "default"]).ok();
    project.run(&["audit", "verify"]).failed(3);
}

#[test]
fn log_that_begins_with_the_creation_of_its_key_is_signed_without_a_warning() {
    let project = Project::new();
    configure(&project, "key = \"keys/audit.key\"\n");
    let created = project.run(&["keygen", "audit", "--out", "keys/audit.key"]);
    assert!(!created.ok().err.contains("checkpoint"), "{created:?}");
    project.run(&["audit", "verify"]).ok();
}

#[test]
fn action_that_cannot_be_recorded_is_not_done() {
    let project = audited();
    project.enqueue();
    fs::create_dir(project.path(LOG)).unwrap();
    for arguments in [
        &["queue", "pause", "default"][..],
        &["queue", "delete", "default", "--with-tasks"],
        &["task", "delete", "--queue", "default", "--state", "pending", "--all", "--yes"],
        &["ledger", "accept-clock"],
        &["keygen", "receive", "--out", "new.key"],
    ] {
        let run = project.run(arguments);
        run.failed(5).hinted();
        assert!(run.err.contains("the audit log cannot be written"), "{run:?}");
    }
    assert_eq!((&project.counts()["pending"], project.path("new.key").exists()), (&1.into(), false));
    // What changes nothing needs no record.
    project.run(&["queue", "ls"]).ok();
}

#[test]
fn action_is_done_with_a_warning_if_the_log_is_not_required() {
    let project = Project::new();
    configure(&project, "required = false\n");
    project.enqueue();
    fs::create_dir(project.path(LOG)).unwrap();
    let run = project.run(&["queue", "delete", "default", "--with-tasks"]);
    run.ok();
    assert!(run.err.contains("not recorded in the audit log"), "{run:?}");
}

#[test]
fn pipe_or_device_in_the_place_of_the_log_ends_the_commands_that_read_it() {
    let project = audited();
    project.run(&["queue", "pause", "default"]).ok();
    symlink("/dev/zero", project.path("state/audit.jsonl.000001")).unwrap();
    for command in ["verify", "show"] {
        let run = project.run(&["audit", command]);
        assert!(run.err.contains("state/audit.jsonl.000001: cannot be read: "), "{run:?}");
        let run = project.run(&["audit", command, "/dev/zero"]);
        assert!(run.err.contains("/dev/zero: cannot be read: it is not a regular file"), "{run:?}");
    }
}

#[test]
fn log_with_a_removed_line_does_not_verify() {
    let project = audited();
    project.enqueue();
    project.run(&["queue", "pause", "default"]).ok();
    let text = fs::read_to_string(project.path(LOG)).unwrap();
    let kept: String =
        text.split_inclusive('\n').enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| line).collect();
    fs::write(project.path(LOG), kept).unwrap();
    let run = project.run(&["audit", "verify"]);
    run.failed(3).hinted();
    assert!(run.text().contains("state/audit.jsonl:3: missing: line 3 of the log is missing\n"), "{run:?}");
    let run = project.run(&["--json", "audit", "verify"]);
    run.failed(3);
    assert_eq!((&run.json()["valid"], &run.json()["faults"][0]["line"]), (&false.into(), &3.into()));
}

#[test]
fn log_that_another_key_has_signed_does_not_verify() {
    let project = audited();
    project.enqueue();
    project.run(&["queue", "pause", "default"]).ok();
    let other = project.run(&["keygen", "audit", "--out", "other.key"]).ok().text();
    let run = project.run(&["audit", "verify", "--key", other.trim()]);
    run.failed(3);
    assert!(run.text().contains(": signature: checkpoint not valid: unknown key "), "{run:?}");
    project.run(&["audit", "verify", "--key", "x"]).failed(2);
    // On a host without the configuration, the key must be named.
    let elsewhere = tempfile::tempdir().unwrap();
    let log = project.path(LOG);
    let arguments = ["audit", "verify", log.to_str().unwrap()];
    run_with_environment(elsewhere.path(), &[], &arguments, b"").failed(2).hinted();
}

#[test]
fn command_without_a_log_says_what_to_configure() {
    let project = Project::new();
    project.run(&["audit", "verify"]).failed(2).hinted();
    configure(&project, "");
    project.run(&["audit", "verify"]).failed(4).hinted();
    project.run(&["audit", "show", "nothing.jsonl"]).failed(5);
}

#[test]
fn wrong_field_of_the_audit_log_is_an_error_with_its_line() {
    for field in ["public = [\"x\"]", "keep = 0", "max_size = \"1KiB\"", "key = \"nowhere:x\"", "lines = 1"] {
        let project = Project::new();
        configure(&project, field);
        let run = project.run(&["queue", "ls"]);
        run.failed(2).hinted();
        assert!(run.err.contains("taskseal.toml:") && run.err.contains("audit"), "{run:?}");
    }
}

#[test]
fn actions_of_an_operator_are_in_the_log_with_the_user_and_verify() {
    let project = audited();
    project.enqueue();
    let environment = [("SUDO_USER", std::path::Path::new("alice"))];
    run_with_environment(project.dir.path(), &environment, &["queue", "pause", "default"], b"").ok();
    let run = project.run(&["--json", "task", "ls", "--queue", "default"]).ok().text();
    let task: Value = serde_json::from_str(run.lines().next().unwrap()).unwrap();
    let id = task["id"].as_str().unwrap();
    project.run(&["task", "archive", id]).ok();
    project.run(&["task", "delete", "--queue", "default", "--state", "archived", "--all", "--yes"]).ok();
    project.run(&["task", "delete", id]).failed(4);
    project.run(&["queue", "resume", "default"]).ok();
    project.run(&["ledger", "accept-clock"]).ok();
    project.run(&["ledger", "init"]).failed(1);
    project.run(&["keygen", "receive", "--out", "new.key"]).ok();
    project.run(&["key", "export", "new.key", "--pem", "--private", "--out", "new.pem"]).ok();
    project.run(&["key", "import", "receive", "--pem", "new.pem", "--out", "again.key"]).ok();

    let expected: Vec<_> = [
        ("queue-pause", "done"),
        ("task-archive", "done"),
        ("task-delete", "done"),
        ("task-delete", "failed"),
        ("queue-resume", "done"),
        ("ledger-accept-clock", "done"),
        ("ledger-init", "failed"),
        ("key-generate", "done"),
        ("key-export", "done"),
        ("key-import", "done"),
    ]
    .into_iter()
    .flat_map(|(event, end)| [step(event, "requested"), step(event, end)])
    .collect();
    assert_eq!(steps(&project), expected);
    let run = project.run(&["--json", "audit", "verify"]);
    let report = run.ok().json();
    assert_eq!((&report["valid"], &report["unsigned"]), (&true.into(), &0.into()));

    let pause = &shown(&project, &["--user", "alice"])[1];
    assert_eq!((&pause["queue"], &pause["sudo_user"]), (&"default".into(), &"alice".into()));
    assert!(pause["uid"].is_u64() && pause["pid"].is_u64() && pause["program"] == "taskseal", "{pause}");
    let of_task = shown(&project, &["--id", id, "--since", "1h"]);
    assert_eq!(of_task.len(), 6);
    assert_eq!((&of_task[3]["changed"], &of_task[3]["step"]), (&1.into(), &"done".into()));
    assert_eq!(shown(&project, &["--event", "key-*", "--last", "2"]).len(), 2);
    let text = project.run(&["audit", "show", "--event", "queue-pause"]).ok().text();
    assert!(
        text.starts_with("TIME ") && text.contains("(sudo: alice)  queue=default step=requested"),
        "{text}"
    );
}

#[test]
fn log_has_no_secret_and_no_body() {
    let project = audited();
    project.handler("true");
    project.run_with(&["enqueue", "--queue", "default", "--type", "file:digest"], b"body-of-the-task").ok();
    project.run(&ONCE).ok();
    project.run(&["keygen", "receive", "--out", "new.key"]).ok();
    let log = fs::read_to_string(project.path(LOG)).unwrap();
    let key = fs::read_to_string(project.path("new.key")).unwrap();
    let secret = key.lines().find(|line| !line.starts_with(['#', '-'])).unwrap();
    assert!(!log.contains("body-of-the-task") && !log.contains(secret));
}

#[test]
fn worker_does_not_start_without_a_required_log() {
    let project = audited();
    project.handler("true");
    project.enqueue();
    fs::create_dir(project.path(LOG)).unwrap();
    let run = project.run(&ONCE);
    run.failed(5);
    assert!(run.err.contains("the audit log cannot be written"), "{run:?}");
    assert_eq!(project.counts()["pending"], 1);
}

#[test]
fn worker_without_a_required_log_runs_tasks_and_reports_that_it_is_not_written() {
    let project = Project::new();
    configure(&project, "required = false\n");
    project.handler("true");
    project.enqueue();
    fs::create_dir(project.path(LOG)).unwrap();
    let run = project.run(&ONCE);
    run.ok();
    assert!(run.err.contains("the audit log cannot be written"), "{run:?}");
    assert_eq!(project.counts()["pending"], 0);
}

#[test]
fn flood_of_refusals_has_few_lines_whose_counts_add_up() {
    let project = Project::new();
    project.run(&["keygen", "audit", "--out", "keys/audit.key"]).ok();
    configure(&project, "key = \"keys/audit.key\"\nrefusals_per_minute = 5\n");
    let line = "{\"type\": \"file:digest\", \"queue\": \"default\", \"body\": null}\n";
    project.run_with(&["enqueue", "--jsonl", "-"], line.repeat(300).as_bytes()).ok();
    let storage = project.storage();
    storage.execute("UPDATE record SET envelope = x'00' WHERE seq % 3 = 0", []).unwrap();
    // Another last byte: the signature is wrong.
    let altered =
        "UPDATE record SET envelope = CAST(substr(envelope, 1, length(envelope) - 1) || x'00' AS BLOB)
                   WHERE seq % 3 != 0";
    storage.execute(altered, []).unwrap();
    drop(storage);

    let refused = project.run(&["worker", "--once", "--json"]).ok().json()["refused"].clone();

    assert_eq!(refused.as_object().unwrap().len(), 2, "{refused}");
    for (code, total) in refused.as_object().unwrap() {
        let lines = shown(&project, &["--event", "refused"]);
        let lines: Vec<_> = lines.iter().filter(|line| line["code"] == code.as_str()).collect();
        let sum: u64 = lines.iter().map(|line| line["count"].as_u64().unwrap()).sum();
        // The minute of the first refusal may end meanwhile.
        assert!((6..=12).contains(&lines.len()), "{lines:?}");
        assert_eq!(Some(sum), total.as_u64());
        let with_id = lines.iter().filter(|line| line["id"].is_string()).count();
        assert!((5..=10).contains(&with_id), "{lines:?}");
        assert!(code == "unsealed" || lines.iter().all(|line| line["issuer"].is_string()), "{lines:?}");
    }
    let names: Vec<_> = steps(&project).into_iter().map(|(event, _)| event).collect();
    assert_eq!(
        (names.first().unwrap().as_str(), names.last().unwrap().as_str()),
        ("worker-started", "worker-stopped")
    );
    let report = project.run(&["--json", "audit", "verify"]).ok().json();
    assert_eq!((&report["valid"], &report["unsigned"]), (&true.into(), &0.into()));
}

#[test]
fn changes_of_the_keyset_are_in_the_log_and_trials_are_not() {
    let project = audited();
    let keyset = fs::read_to_string(project.path("keyset.toml")).unwrap();
    let (_, kid) = keyset.split_once("kid = \"").unwrap();
    let kid = &kid[..16];
    project.run(&["keyset", "show"]).ok();
    drop(project.run(&["keyset", "disable", kid, "--dry-run"]));
    assert!(steps_if_any(&project).is_empty());
    drop(project.run(&["keyset", "disable", kid, "--force"]));
    let lines = shown(&project, &["--event", "keyset-disable"]);
    assert_eq!((lines.len(), &lines[0]["kid"], &lines[0]["step"]), (2, &kid.into(), &"requested".into()));
}

#[test]
fn rotation_that_cannot_be_recorded_is_not_begun() {
    let project = audited();
    let before = fs::read_to_string(project.path("keyset.toml")).unwrap();
    fs::create_dir(project.path(LOG)).unwrap();

    let run = project.run(&["rotate", "signing", "--out", "keys/new.key"]);

    assert!(run.failed(5).hinted().err.contains("the audit log cannot be written"), "{run:?}");
    assert_eq!(fs::read_to_string(project.path("keyset.toml")).unwrap(), before);
    assert!(!project.path("keys/new.key").exists());
}

#[test]
fn steps_of_a_rotation_are_in_the_log_each_with_its_key() {
    let project = audited();
    project.run(&["rotate", "signing", "--out", "keys/new.key", "--dry-run"]).ok();
    assert!(steps_if_any(&project).is_empty());
    let run = project.run(&["rotate", "signing", "--out", "keys/new.key", "--json"]);
    let new = run.ok().json()["steps"][0]["kid"].clone();
    let generated = [
        step("key-generate", "requested"),
        step("key-generate", "done"),
        step("keyset-add", "requested"),
        step("keyset-add", "done"),
    ];
    assert_eq!(steps(&project), generated);
    assert_eq!(shown(&project, &["--event", "keyset-add"])[0]["kid"], new);
    let text = fs::read_to_string(project.path("keyset.toml")).unwrap();
    let at = text.find("since = ").unwrap();
    let end = at + text[at..].find('\n').unwrap();
    let old = format!("{}since = \"2026-01-01T00:00:00Z\"{}", &text[..at], &text[end..]);
    fs::write(project.path("keyset.toml"), old).unwrap();

    project.run(&["rotate", "signing"]).ok();

    assert_eq!(shown(&project, &["--event", "keyset-activate"])[1]["kid"], new);
    assert_eq!(shown(&project, &["--event", "keyset-retire"])[1]["step"], "done");
}

fn steps_if_any(project: &Project) -> Vec<(String, String)> {
    if project.path(LOG).exists() { steps(project) } else { Vec::new() }
}

fn hang_up(worker: &std::process::Child) {
    kill_process(Pid::from_raw(i32::try_from(worker.id()).unwrap()).unwrap(), Signal::HUP).unwrap();
}

#[test]
fn keys_that_a_running_worker_loads_again_are_in_the_log_with_their_states() {
    let project = audited();
    project.handler("true");
    let mut worker = project.spawn(&["worker"], &[]);
    let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(" ready: ")));
    let valid = fs::read_to_string(project.path("keyset.toml")).unwrap();
    fs::write(project.path("keyset.toml"), "[[key]]\n").unwrap();
    hang_up(&worker);
    assert!(lines.any(|line| line.contains("cannot load the keys again")));
    let (_, kid) = valid.split_once("kid = \"").unwrap();
    let disabled = valid.replacen("use = ", "state = \"disabled\"\nuse = ", 1);
    fs::write(project.path("keyset.toml"), disabled).unwrap();
    hang_up(&worker);
    assert!(lines.any(|line| line.contains("loaded the keys again")));
    terminate(&worker);
    assert!(lines.by_ref().last().is_some() && worker.wait().unwrap().success());

    let failed = &shown(&project, &["--event", "keys-not-loaded"])[0];
    assert!(failed["reason"].as_str().unwrap().contains("keyset.toml:1"), "{failed}");
    let loaded = &shown(&project, &["--event", "keys-loaded"])[0];
    let change = loaded["changes"][0].as_str().unwrap();
    assert!(change.contains(&kid[..16]) && change.contains("disabled"), "{loaded}");
    project.run(&["audit", "verify"]).ok();
}

#[test]
fn command_with_a_configuration_that_cannot_be_loaded_changes_nothing() {
    let project = audited();
    let before = fs::read_to_string(project.path("keyset.toml")).unwrap();
    let (_, kid) = before.split_once("kid = \"").unwrap();
    let revoke = ["keyset", "revoke", &kid[..16], "--force"];
    let missing = project.run(&[&["--config", "missing.toml"], &revoke[..]].concat());
    assert_ne!(missing.code, Some(0));
    configure(&project, "this is not TOML");
    assert_ne!(project.run(&revoke).code, Some(0));
    assert_ne!(project.run(&["keygen", "audit", "--out", "keys/other.key"]).code, Some(0));
    assert_eq!(fs::read_to_string(project.path("keyset.toml")).unwrap(), before);
    assert!(!project.path("keys/other.key").exists());
}

#[test]
fn log_without_a_valid_checkpoint_does_not_verify_if_a_key_is_known() {
    let project = audited();
    project.run(&["queue", "pause", "default"]).ok();
    project.run(&["audit", "verify"]).ok();
    // An attacker replaces the log with lines whose hashes are right.
    let config = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    fs::remove_file(project.path(LOG)).unwrap();
    fs::write(project.path("taskseal.toml"), config.replace("key = \"keys/audit.key\"", "")).unwrap();
    project.run(&["queue", "resume", "default"]).ok();
    fs::write(project.path("taskseal.toml"), config).unwrap();
    let run = project.run(&["--json", "audit", "verify"]);
    assert_eq!(run.code, Some(3));
    assert!(run.text().contains("not-signed"), "{}", run.text());
}
