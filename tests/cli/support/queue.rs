//! A project with a queue: enqueue, run, read the storage without the broker, wait.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::program::spawn;
use super::project::Project;

pub(crate) const ENQUEUE: [&str; 7] =
    ["enqueue", "--queue", "default", "--type", "file:digest", "--payload", "sample.txt"];
pub(crate) const ONCE: [&str; 2] = ["worker", "--once"];

impl Project {
    pub(crate) fn enqueue(&self) -> String {
        self.run(&ENQUEUE).ok().text().trim().to_owned()
    }

    /// A connection to the storage, without the checks of the broker.
    pub(crate) fn storage(&self) -> Connection {
        let mut files = fs::read_dir(self.path("queue")).unwrap().map(|entry| entry.unwrap().path());
        let file = files.find(|path| path.to_string_lossy().ends_with("queue.db")).unwrap();
        Connection::open(file).unwrap()
    }

    pub(crate) fn handler(&self, script: &str) {
        let program = format!("program = {}", serde_json::json!(["/bin/sh", "-c", script]));
        self.edit("taskseal.toml", "program = [\"./handlers/digest\"]", &program);
    }

    pub(crate) fn counts(&self) -> Value {
        self.run(&["queue", "ls", "--json"]).ok().json()
    }

    pub(crate) fn spawn(&self, arguments: &[&str], environment: &[(&str, &Path)]) -> Child {
        spawn(self.dir.path(), environment, arguments)
    }
}

/// Stores a task as a producer does that does not seal: past this program. Returns its id.
pub(crate) fn store_unsealed(file: &Path, task_type: &str) -> String {
    let id = taskseal_tests::fleet::new_id().to_string();
    let connection = Connection::open(file).unwrap();
    connection
        .execute(
            "INSERT INTO task (queue, id, state, position, pending_since) VALUES ('default', ?1, 'pending', 0, 1)",
            [&id],
        )
        .unwrap();
    let record =
        "INSERT INTO record (seq, type, retention_ms, envelope) VALUES (?1, ?2, 0, CAST('{}' AS BLOB))";
    connection.execute(record, (connection.last_insert_rowid(), task_type)).unwrap();
    connection
        .execute(
            "INSERT INTO queue (name, enqueued, pending) VALUES ('default', 1, 1)
             ON CONFLICT DO UPDATE SET enqueued = enqueued + 1, pending = pending + 1",
            [],
        )
        .unwrap();
    id
}

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn terminate(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}
