//! Commands while some keys are unavailable: what works without them, and what is reported of the missing ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use taskseal_tests::token_folder::TokenFolder;

use crate::support::queue::{terminate, until};
use crate::support::token::RunWithToken;

const ENQUEUE: [&str; 7] =
    ["enqueue", "--queue", "default", "--type", "file:digest", "--payload", "sample.txt"];
const SEAL: [&str; 8] =
    ["seal", "--queue", "default", "--type", "file:digest", "sample.txt", "--out", "task.cose"];
const FORWARD: [&str; 5] = ["enqueue", "--queue", "default", "--sealed", "task.cose"];

/// Changes the fields of one table so that they name keys of a missing token.
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

    // What a worker would refuse is refused without its keys too.
    let text = fs::read_to_string(project.join("taskseal.toml")).unwrap();
    fs::write(project.join("taskseal.toml"), text.replace("suites = [\"SP\"]", "suites = [\"SE\"]")).unwrap();
    folder.run_in(&project, &ENQUEUE).failed(3).hinted();
    folder.run_in(&project, &FORWARD).failed(3).hinted();
}

/// A worker with `--metrics` whose log is read while it runs.
struct Worker {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    fn start(folder: &TokenFolder, project: &Path) -> Self {
        let mut child = folder.spawn_in(project, &["worker", "--metrics", "metrics"]);
        let log = Arc::<Mutex<Vec<String>>>::default();
        let (lines, read) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        thread::spawn(move || lines.for_each(|line| read.lock().unwrap().push(line.unwrap())));
        let worker = Self { child, log };
        worker.says("ready: ");
        worker
    }

    /// Waits for a line with this in it.
    fn says(&self, what: &str) -> String {
        let mut found = None;
        until(what, || {
            found = self.log.lock().unwrap().iter().find(|line| line.contains(what)).cloned();
            found.is_some()
        });
        found.unwrap()
    }

    fn ends(mut self) {
        terminate(&self.child);
        assert!(self.child.wait().unwrap().success());
    }
}

/// A test that fails leaves no worker behind.
impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kid of the key with this label.
fn kid(folder: &TokenFolder, label: &str) -> String {
    let token = folder.run(&["token", "check", &folder.uri("token=plant"), "--json"]).ok().json();
    let keys = token["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["label"] == label).unwrap();
    key["id"].as_str().unwrap().to_owned()
}

fn lose_token(folder: &TokenFolder) {
    fs::rename(folder.path("tokens"), folder.path("away")).unwrap();
    fs::create_dir(folder.path("tokens")).unwrap();
}

fn bring_back_token(folder: &TokenFolder) {
    fs::remove_dir_all(folder.path("tokens")).unwrap();
    fs::rename(folder.path("away"), folder.path("tokens")).unwrap();
}

#[test]
fn worker_without_the_key_of_its_results_names_it_counts_what_waits_and_says_when_it_is_back() {
    let folder = TokenFolder::new();
    let project = folder.project();
    let kid = kid(&folder, "local/worker-sign");
    let script = "#!/bin/sh\ntouch began\nuntil [ -e go ]; do sleep 0.05; done\necho done\n";
    fs::write(project.join("handlers/digest"), script).unwrap();
    folder.run_in(&project, &ENQUEUE).ok();
    let worker = Worker::start(&folder, &project);
    until("the handler", || project.join("began").exists());

    lose_token(&folder);
    fs::write(project.join("go"), "").unwrap();

    let line = worker.says("worker.result_key");
    assert!(line.contains(&format!(" {kid} ")) && line.contains("no new tasks are taken"), "{line}");
    let waiting = |count| {
        let metrics = fs::read_to_string(project.join("metrics")).unwrap_or_default();
        metrics.contains(&format!("\ntaskseal_results_waiting {count}\n"))
    };
    until("the count of what waits", || waiting(1));
    bring_back_token(&folder);
    let line = worker.says("is available again: results are sealed");
    assert!(line.contains(&kid), "{line}");
    worker.says("succeeded ");
    worker.ends();
    assert!(waiting(0));
}

#[test]
fn worker_without_a_decryption_key_names_it_and_runs_the_task_once_it_is_back() {
    let folder = TokenFolder::new();
    let project = folder.project();
    let kid = kid(&folder, "local/worker");
    folder.run_in(&project, &SEAL).ok();
    let worker = Worker::start(&folder, &project);

    lose_token(&folder);
    folder.run_in(&project, &FORWARD).ok();

    let line = worker.says("worker.decryption_keys");
    assert!(line.contains(&format!(" {kid} ")), "{line}");
    bring_back_token(&folder);
    worker.says("succeeded ");
    worker.ends();
}
