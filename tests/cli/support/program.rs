//! Runs of the program `taskseal`.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Exit code and output of a run.
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

    /// Checks the contract of every failure with `--json`: objects only, and the last an error with its exit code.
    pub(crate) fn failed_as_json(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        let error = self.last_object();
        for (member, value) in [("v", 1.into()), ("event", "error".into()), ("exit_code", Value::from(code))]
        {
            assert_eq!(error.get(member), Some(&value), "{self:?}");
        }
        assert!(["message", "at"].iter().all(|member| error.get(member).is_some()), "{self:?}");
        self
    }

    /// Checks the contract of every failure: prefixed lines only, and one of them an error; with `--json` as
    /// [`failed_as_json`](Self::failed_as_json) does.
    pub(crate) fn failed(&self, code: i32) -> &Self {
        if self.err.starts_with('{') {
            return self.failed_as_json(code);
        }
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines: Vec<_> = self.err.lines().collect();
        assert!(lines.iter().all(|line| line.starts_with("taskseal: ")), "{self:?}");
        let error = lines.iter().find(|line| line.starts_with("taskseal: error: ")).unwrap();
        assert!(!error.ends_with('.') && !self.err.contains("panicked"), "{self:?}");
        self
    }

    pub(crate) fn hinted(&self) -> &Self {
        if self.err.starts_with('{') {
            assert!(self.last_object().get("hint").is_some(), "{self:?}");
            return self;
        }
        assert!(self.err.lines().last().unwrap_or_default().starts_with("taskseal: hint: "), "{self:?}");
        self
    }

    fn last_object(&self) -> Value {
        let lines: Result<Vec<Value>, _> = self.err.lines().map(serde_json::from_str).collect();
        lines.unwrap_or_default().pop().unwrap_or_else(|| panic!("{self:?}"))
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

/// The program with these arguments, in this folder, with none of its variables but those of `environment`.
pub(crate) fn taskseal(dir: &Path, environment: &[(&str, &Path)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskseal"));
    command
        .args(arguments)
        .current_dir(dir)
        .env_remove("TASKSEAL_CONFIG")
        .env_remove("TASKSEAL_PKCS11_MODULE")
        .env_remove("TASKSEAL_PKCS11_PIN_SOURCE")
        .envs(environment.iter().copied());
    command
}

pub(crate) fn run_with_environment(
    dir: &Path,
    environment: &[(&str, &Path)],
    arguments: &[&str],
    input: &[u8],
) -> Run {
    let mut child = taskseal(dir, environment, arguments)
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

/// Starts the program with pipes for what it prints.
pub(crate) fn spawn(dir: &Path, environment: &[(&str, &Path)], arguments: &[&str]) -> Child {
    taskseal(dir, environment, arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
