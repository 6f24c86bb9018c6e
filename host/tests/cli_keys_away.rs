//! The real binary while some of its keys are away: what goes on without them, and what is said of those that are missing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

#[path = "support/project.rs"]
mod project;
#[path = "support/token.rs"]
mod token;

use std::fs;
use std::path::Path;

use serde_json::Value;

use self::token::TokenFolder;

const ENQUEUE: [&str; 7] =
    ["enqueue", "--queue", "default", "--type", "file:digest", "--payload", "sample.txt"];
const SEAL: [&str; 8] =
    ["seal", "--queue", "default", "--type", "file:digest", "sample.txt", "--out", "task.cose"];
const FORWARD: [&str; 5] = ["enqueue", "--queue", "default", "--sealed", "task.cose"];

/// Has the fields of one table name keys of a token that is not there.
fn take_away(project: &Path, table: &str, fields: &[&str]) {
    let file = project.join("taskseal.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (mut here, mut changed) = (false, 0);
    let lines = text.lines().map(|line| {
        if line.starts_with('[') {
            here = line == format!("[{table}]");
        }
        let named = line.split_once(" = ").is_some_and(|(field, _)| fields.contains(&field));
        if !(here && named) {
            return line.to_owned();
        }
        changed += 1;
        line.replace("token=plant", "token=elsewhere")
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(changed, fields.len());
    fs::write(file, lines).unwrap();
}

#[test]
fn key_that_is_out_of_reach_is_named_by_its_field() {
    for (table, field, command) in [
        ("client", "key", &ENQUEUE[..]),
        ("client", "key", &SEAL),
        ("client", "result_key", &ENQUEUE),
        ("worker", "decryption_keys", &["worker", "--once"]),
        ("worker", "result_key", &["worker", "--once"]),
        ("worker", "decryption_keys", &["open", "--queue", "default", "task.cose"]),
    ] {
        let folder = TokenFolder::new();
        let project = folder.project();
        take_away(&project, table, &[field]);
        let run = folder.run_in(&project, command);
        run.failed(5);
        assert!(run.err.contains(&format!(": {table}.{field}: ")), "{table}.{field}: {run:?}");
    }
}

#[test]
fn tasks_are_sealed_and_enqueued_while_the_keys_of_the_worker_are_out_of_reach() {
    let folder = TokenFolder::new();
    let project = folder.project();
    take_away(&project, "worker", &["decryption_keys", "result_key"]);
    folder.run_in(&project, &ENQUEUE).ok();
    fs::write(project.join("tasks.jsonl"), "{\"body\": 1}\n").unwrap();
    let lines = ["enqueue", "--queue", "default", "--type", "file:digest", "--jsonl", "tasks.jsonl"];
    folder.run_in(&project, &lines).ok();
    folder.run_in(&project, &SEAL).ok();
    folder.run_in(&project, &FORWARD).ok();
    assert_eq!(folder.run_in(&project, &["queue", "ls", "--json"]).ok().json()["pending"], Value::from(3));

    // What a worker would refuse is found out without its keys too.
    let text = fs::read_to_string(project.join("taskseal.toml")).unwrap();
    fs::write(project.join("taskseal.toml"), text.replace("suites = [\"SP\"]", "suites = [\"SE\"]")).unwrap();
    let warned = folder.run_in(&project, &ENQUEUE);
    assert!(warned.ok().err.contains("would refuse it"), "{warned:?}");
    folder.run_in(&project, &FORWARD).failed(3).hinted();
}
