//! A project made by `taskseal init`, in a temporary folder.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::path::PathBuf;

use super::program::{Run, run_in};

/// A project made by `taskseal init`.
pub(crate) struct Project {
    pub(crate) dir: tempfile::TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        project.run(&["init", "."]).ok();
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, b"")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Run {
        run_in(self.dir.path(), arguments, input)
    }

    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{from} is not in {name}");
        fs::write(self.path(name), text.replacen(from, to, 1)).unwrap();
    }

    /// An envelope for the queue `default` with this body.
    pub(crate) fn seal(&self, body: &[u8]) -> Vec<u8> {
        self.run_with(&SEAL, body).ok().out.clone()
    }
}

pub(crate) const SEAL: [&str; 5] = ["seal", "--queue", "default", "--type", "file:digest"];
pub(crate) const OPEN: [&str; 3] = ["open", "--queue", "default"];
