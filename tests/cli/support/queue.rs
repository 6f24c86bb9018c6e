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
