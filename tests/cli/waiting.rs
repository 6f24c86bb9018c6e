//! Commands that wait for a task or enqueue it: what has ended, what has not, and what is stored.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::support::program::taskseal;
use crate::support::project::{Project, SEAL};
use crate::support::queue::{ENQUEUE, ONCE};

const FORWARD: [&str; 5] = ["enqueue", "--queue", "default", "--sealed", "-"];

#[test]
fn archived_task_is_not_enqueued_again_and_its_result_fails() {
    let project = Project::new();
    project.handler("exit 65");
    let sealed = project.seal(b"x");
    let id = project.run_with(&FORWARD, &sealed).ok().text();
    project.run(&ONCE).ok();

    for run in [project.run_with(&FORWARD, &sealed), project.run(&["result", id.trim(), "--wait", "1h"])] {
        run.failed(1).hinted();
        assert!(run.out.is_empty() && run.err.contains("task run"), "{run:?}");
    }
}

#[test]
fn result_of_an_unknown_task_is_not_found_and_of_a_pending_one_is_not_yet() {
    let project = Project::new();
    let id = project.enqueue();
    for unknown in ["0193a5b0-0000-7000-8000-000000000001", "order-1"] {
        project.run(&["result", unknown, "--wait", "1h"]).failed(4).hinted();
    }
    project.run(&["result", &id, "--wait", "1s"]).failed(6).hinted();
}

#[test]
fn result_of_a_task_that_is_postponed_for_its_unknown_key_is_not_yet() {
    let (producer, worker) = (Project::new(), Project::new());
    let sealed = producer.seal(b"x");
    let id = worker.run_with(&[&FORWARD[..], &["--force"]].concat(), &sealed).ok().text();
    let result = || worker.run(&["result", id.trim()]);
    result().failed(6).hinted();
    worker.run(&["result", id.trim(), "--wait", "1s"]).failed(6).hinted();

    worker.run(&ONCE).ok();

    let postponed = result();
    postponed.failed(6).hinted();
    assert!(postponed.err.contains("(unknown-key)") && postponed.err.contains("it is retry, due "));
    worker.run(&["task", "archive", id.trim()]).ok();
    result().failed(3);
}

#[test]
fn result_of_a_task_that_waits_is_refused_if_its_key_is_revoked() {
    let (producer, worker) = (Project::new(), Project::new());
    let sealed = producer.seal(b"x");
    let id = worker.run_with(&[&FORWARD[..], &["--force"]].concat(), &sealed).ok().text();
    let keyset = fs::read_to_string(producer.path("keyset.toml")).unwrap();
    let entry = keyset.split("[[key]]").nth(1).unwrap();
    let revoked = format!("[[key]]{entry}state = \"compromised\"\n\n[[key]]");
    worker.edit("keyset.toml", "[[key]]", &revoked);

    let run = worker.run(&["result", id.trim(), "--wait", "1h"]);

    run.failed(3).hinted();
    assert!(run.err.contains("which the keyset says is compromised (key-not-valid)"), "{run:?}");
    assert!(!run.err.contains("error: result"), "{run:?}");
}

#[test]
fn result_is_read_after_the_key_of_its_request_is_disabled_and_not_after_it_is_compromised() {
    let project = Project::new();
    let id = project.enqueue();
    project.run(&ONCE).ok();
    let text = fs::read_to_string(project.path("keyset.toml")).unwrap();
    let issuer = text.find("issuers = [\"producer").unwrap();
    let (before, entry) = text.split_at(text[..issuer].rfind("[[key]]").unwrap() + "[[key]]".len());
    let set = |state: &str| {
        let entry = entry.replacen("state = \"primary\"\n", "", 1);
        fs::write(project.path("keyset.toml"), format!("{before}\nstate = \"{state}\"{entry}")).unwrap();
    };

    set("compromised");
    project.run(&["result", &id]).failed(3).hinted();
    set("disabled");
    let run = project.run(&["result", &id]);
    assert!(run.ok().err.contains(&format!("verified: result of {id}")), "{run:?}");
    project.run(&ENQUEUE).failed(3);
}

#[test]
fn result_of_a_task_with_a_reference_is_found_by_it() {
    let project = Project::new();
    let options = ["--ref", "order-1", "--attempts", "3", "--timeout", "40s", "--retention", "2h"];
    let sealed =
        project.run_with(&[&SEAL[..], &options].concat(), b"Bytes worth sealing.\n").ok().out.clone();
    project.run_with(&FORWARD, &sealed).ok();
    project.run(&["result", "order-1"]).failed(6);
    project.run(&ONCE).ok();
    assert!(project.run(&["result", "order-1"]).ok().text().contains("sha256"));
}

#[test]
fn task_sealed_for_later_is_scheduled() {
    let project = Project::new();
    let options = ["--at", "2099-01-01T00:00:00Z", "--lifetime", "10m"];
    let sealed = project.run_with(&[&SEAL[..], &options].concat(), b"x").ok().out.clone();
    let inspected = project.run_with(&["inspect", "-"], &sealed).ok().text();
    assert!(inspected.contains("2099-01-01T00:10:00"), "{inspected}");
}

#[test]
fn enqueue_of_lines_stops_and_fails_once_the_reader_of_its_output_is_gone() {
    let project = Project::new();
    let options = ["enqueue", "--queue", "default", "--type", "file:digest", "--jsonl", "-"];
    let mut child = taskseal(project.dir.path(), &[], &options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // The program ends before it has read all lines.
    let _ = child.stdin.take().unwrap().write_all("{\"body\": 1}\n".repeat(1000).as_bytes());
    let output = child.wait_with_output().unwrap();

    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("stopped after 128 tasks were enqueued"), "{err}");
    assert_eq!(project.counts()["pending"], 128);
}
