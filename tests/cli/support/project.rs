//! The real binary in a project of its own, and what a run of it came to.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run of the binary came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// The contract of every failure: nothing but prefixed lines, and one of them an error.
    pub(crate) fn failed(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines: Vec<_> = self.err.lines().collect();
        assert!(lines.iter().all(|line| line.starts_with("taskseal: ")), "{self:?}");
        let error = lines.iter().find(|line| line.starts_with("taskseal: error: ")).unwrap();
        assert!(!error.ends_with('.') && !self.err.contains("panicked"), "{self:?}");
        self
    }

    pub(crate) fn hinted(&self) -> &Self {
        assert!(self.err.lines().last().unwrap_or_default().starts_with("taskseal: hint: "), "{self:?}");
        self
    }

    pub(crate) fn ok(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(!self.err.contains("error:"), "{self:?}");
        self
    }
}

pub(crate) fn run_in(dir: &Path, arguments: &[&str], input: &[u8]) -> Run {
    run_with_environment(dir, &[], arguments, input)
}

pub(crate) fn run_with_environment(
    dir: &Path,
    environment: &[(&str, &Path)],
    arguments: &[&str],
    input: &[u8],
) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_taskseal"))
        .args(arguments)
        .current_dir(dir)
        .env_remove("TASKSEAL_CONFIG")
        .env_remove("TASKSEAL_PKCS11_MODULE")
        .env_remove("TASKSEAL_PKCS11_PIN_SOURCE")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Run { code: output.status.code(), out: output.stdout, err: String::from_utf8(output.stderr).unwrap() }
}

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
