//! A folder with the draft of a signed keyset and its root keys.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::program::{Run, run_in};

/// The folder in which a keyset is kept.
pub(crate) struct KeysetFolder {
    pub(crate) dir: tempfile::TempDir,
}

impl KeysetFolder {
    /// Creates a draft with two roots. A new keyset is distributed at once.
    pub(crate) fn new() -> Self {
        let folder = Self::waiting();
        folder.edit("distribution = \"10m\"", "distribution = \"0s\"");
        folder
    }

    /// Creates a draft with two roots. A new keyset is distributed in 10 minutes.
    pub(crate) fn waiting() -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        folder.run("init --name prod --root root.key --second-root second.key").ok();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn draft(&self) -> String {
        fs::read_to_string(self.path("keyset.toml")).unwrap()
    }

    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = self.draft();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(self.path("keyset.toml"), text.replacen(from, to, 1)).unwrap();
    }

    /// Sets a field of the entry of a key, which must have the field.
    pub(crate) fn set(&self, kid: &str, field: &str, value: &str) {
        let text = self.draft();
        let entry = text.find(&format!("kid = \"{kid}\"")).unwrap();
        let at = entry + text[entry..].find(&format!("\n{field} = ")).unwrap() + 1;
        let end = at + text[at..].find('\n').unwrap();
        fs::write(self.path("keyset.toml"), format!("{}{field} = \"{value}\"{}", &text[..at], &text[end..]))
            .unwrap();
    }

    /// Runs `taskseal keyset` with arguments that contain no spaces.
    pub(crate) fn run(&self, arguments: &str) -> Run {
        self.run_with(arguments, b"")
    }

    pub(crate) fn run_with(&self, arguments: &str, input: &[u8]) -> Run {
        let arguments: Vec<_> = ["keyset"].into_iter().chain(arguments.split_whitespace()).collect();
        run_in(self.dir.path(), &arguments, input)
    }

    /// Generates a key and adds its entry. Returns its kid.
    pub(crate) fn add(&self, file: &str, options: &str) -> String {
        let entry = self.entry(file);
        let run = self.run_with(&format!("add - --json {options}"), &entry);
        run.ok().json()["added"][0].as_str().unwrap().to_owned()
    }

    /// Generates a key and returns its entry.
    pub(crate) fn entry(&self, file: &str) -> Vec<u8> {
        let rights = ["--issuer", "shop", "--type", "*", "--audience", "prod/*"];
        let arguments = [&["keygen", "sign", "--out", file][..], &rights].concat();
        run_in(self.dir.path(), &arguments, b"").ok().out.clone()
    }

    /// Signs the draft with the first root. Returns the sequence number.
    pub(crate) fn sign(&self) -> u64 {
        self.run("sign --root root.key --json").ok().json()["sequence"].as_u64().unwrap()
    }

    /// The description of a key.
    pub(crate) fn key(&self, kid: &str) -> Value {
        let shown = self.run("show --json").ok().json();
        let keys = shown["keys"].as_array().unwrap().iter();
        keys.into_iter().find(|key| key["kid"] == kid).unwrap_or_else(|| panic!("{shown}")).clone()
    }
}
