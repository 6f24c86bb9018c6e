//! `taskseal init`: a folder in which the next commands work.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;
use taskseal::file_error::FileError;
use taskseal::keys::Algorithm;
use taskseal_core::Kind;
use taskseal_hsm::{KeyKind, TokenUri, Usage};

use super::made::{self, Entry, Made, quoted, token_failed};
use crate::ui::{Failure, Ui};

/// Make a working project: configuration, keys, keyset, a handler and a sample
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal init demo\n  taskseal init demo --pkcs11 'pkcs11:token=prod?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin'"
)]
pub(crate) struct Args {
    /// The folder, which must be empty or not exist
    dir: PathBuf,
    /// The first half of every audience: DEPLOYMENT/QUEUE
    #[arg(long, default_value = "local", value_name = "NAME", value_parser = deployment)]
    deployment: String,
    /// Make the private keys in this token instead of files
    #[arg(long, value_name = "URI", value_parser = TokenUri::parse)]
    pkcs11: Option<TokenUri>,
}

fn deployment(name: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=63).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(name.to_owned())
    } else {
        Err("1 to 63 of A-Z a-z 0-9 . _ -".to_owned())
    }
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let dir = &args.dir;
    let is_new = vacant(dir)?;
    if let Some(token) = &args.pkcs11 {
        check_labels(token, &args.deployment)?;
    }
    let mut in_token = Vec::new();
    let keys = make(args, &mut in_token).inspect_err(|_| {
        // Only what is empty goes: what was made of keys and files stays for who looks into it.
        let folders = FOLDERS.iter().map(|(name, _)| dir.join(name)).chain(is_new.then(|| dir.clone()));
        folders.for_each(|folder| drop(fs::remove_dir(folder)));
        if let (Some(token), false) = (&args.pkcs11, in_token.is_empty()) {
            let made = in_token.join(", ");
            ui.warn(&format!("made before it failed, and still in {}: {made}", token.name()));
        }
    })?;
    let next = [
        format!("cd {}", shell_word(&dir.to_string_lossy())),
        "taskseal enqueue --queue default --type file:digest --payload sample.txt".to_owned(),
        "taskseal worker --once".to_owned(),
        "taskseal result ID".to_owned(),
    ];
    if ui.json() {
        let kid = |key: &Made| json!(key.kid.to_string());
        return ui.object([
            ("dir", json!(dir.to_string_lossy())),
            ("producer", kid(&keys.producer)),
            ("worker", kid(&keys.worker)),
            ("worker_sign", kid(&keys.worker_sign)),
            ("reader", kid(&keys.reader)),
            ("next", json!(next)),
        ]);
    }
    ui.note(&format!("made a project in {}; next:", dir.display()));
    ui.text(&format!("{}\n", next.join("\n")))
}

/// The folders of a project and their modes.
const FOLDERS: [(&str, u32); 4] = [("keys", 0o700), ("handlers", 0o755), ("queue", 0o700), ("state", 0o700)];

/// Makes everything; `in_token` names the keys that were made in the token, also when something fails.
fn make(args: &Args, in_token: &mut Vec<String>) -> Result<Keys, Failure> {
    let dir = &args.dir;
    make_dir(dir, 0o755)?;
    for (name, mode) in FOLDERS {
        make_dir(&dir.join(name), mode)?;
    }
    let keys = match &args.pkcs11 {
        Some(token) => Keys::in_token(token, &args.deployment, in_token)?,
        None => Keys::in_files(dir)?,
    };
    let files = [
        ("keyset.toml", keys.keyset(&args.deployment), 0o644),
        ("taskseal.toml", keys.configuration(&args.deployment), 0o644),
        ("handlers/digest", HANDLER.to_owned(), 0o755),
        ("sample.txt", "Bytes worth sealing.\n".to_owned(), 0o644),
        (
            ".gitignore",
            "# Secret keys, the queue and the state of this host belong in no repository.\n/keys/\n/queue/\n/state/\n".to_owned(),
            0o644,
        ),
    ];
    for (name, content, mode) in &files {
        create(&dir.join(name), content, *mode)?;
    }
    Ok(keys)
}

/// Whether the folder is yet to be made; one that is there must be empty.
fn vacant(dir: &Path) -> Result<bool, Failure> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(Failure::new(format!("{}: not empty", dir.display()))
                .hint("nothing is overwritten: name a folder that is empty or does not exist")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(failed(dir, &error)),
    }
}

/// Logs in and looks whether the labels are free, before there is anything to leave behind.
fn check_labels(token: &TokenUri, deployment: &str) -> Result<(), Failure> {
    let (opened, _) = made::open(token)?;
    let name = token.name();
    let keys = opened.keys().map_err(|error| token_failed(&error, &name.to_string()))?;
    // A label is taken by a key of the same class; shared keys are of another.
    let pairs = keys.iter().filter(|key| !matches!(key.kind, KeyKind::Mac | KeyKind::Wrapping));
    let taken: Vec<_> = pairs.map(|key| key.label.as_str()).collect();
    let clash =
        PARTS.iter().map(|(part, _)| label(deployment, part)).find(|own| taken.contains(&own.as_str()));
    clash.map_or(Ok(()), |label| {
        Err(Failure::unavailable(format!("{name}: a key with the label `{label}` is there already; nothing was made"))
            .hint("labels begin with the deployment: give it another name with `--deployment NAME`, or use another token"))
    })
}

fn make_dir(dir: &Path, mode: u32) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(|error| failed(dir, &error))
}

fn create(path: &Path, content: &str, mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes())).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(FileError::io(path, "cannot be created", error).to_string())
}

/// The keys of a project and what they do.
const PARTS: [(&str, Usage); 4] = [
    ("producer", Usage::Sign),
    ("worker", Usage::Agree),
    ("worker-sign", Usage::Sign),
    ("reader", Usage::Agree),
];

/// The label of a key in a token, which may serve several projects.
fn label(deployment: &str, part: &str) -> String {
    format!("{deployment}/{part}")
}

/// Makes a key and notes its label and kid. A token that fails while it makes one may have it nonetheless, and its label
/// would be in the way of the next attempt.
fn noted(
    names: &mut Vec<String>,
    label: &str,
    make: impl FnOnce() -> Result<Made, Failure>,
) -> Result<Made, Failure> {
    let made = make().inspect_err(|_| names.push(format!("{label} (perhaps)")))?;
    names.push(format!("{label} ({})", made.kid));
    Ok(made)
}

/// One key for each of the four things that are done: nothing secret is shared.
struct Keys {
    producer: Made,
    worker: Made,
    worker_sign: Made,
    reader: Made,
}

impl Keys {
    fn in_files(dir: &Path) -> Result<Self, Failure> {
        let create = |name: &str, algorithm, purpose: &str| {
            // The configuration names them from its own folder.
            let place = format!("keys/{name}");
            Made::in_file(&dir.join(&place), algorithm, purpose).map(|made| Made { place, ..made })
        };
        Ok(Self {
            producer: create("producer.key", Algorithm::Es256, "tasks, held by the producer")?,
            worker: create("worker.key", Algorithm::EcdhEs, "tasks, held by the worker")?,
            worker_sign: create("worker-sign.key", Algorithm::Es256, "results, held by the worker")?,
            reader: create("reader.key", Algorithm::EcdhEs, "results, held by whoever reads them")?,
        })
    }

    /// Adds to `names` every key that was made, and the one that may have been when it failed.
    fn in_token(token: &TokenUri, deployment: &str, names: &mut Vec<String>) -> Result<Self, Failure> {
        let mut create = |(part, usage): (&str, Usage)| {
            let label = label(deployment, part);
            noted(names, &label, || Made::in_token(token, usage, &label))
        };
        let [producer, worker, worker_sign, reader] = PARTS;
        Ok(Self {
            producer: create(producer)?,
            worker: create(worker)?,
            worker_sign: create(worker_sign)?,
            reader: create(reader)?,
        })
    }

    fn keyset(&self, deployment: &str) -> String {
        let entry = |key, kind, label, issuer: Option<&str>| {
            let rights = issuer.map(|issuer| {
                [issuer.to_owned(), "*".to_owned(), format!("{deployment}/*")].map(|one| vec![one])
            });
            Entry { key, kind, label: Some(label), rights }.to_toml()
        };
        let mut text = "# Which keys vouch for what. Nothing in here is secret; whoever can change it decides what runs.\n\n".to_owned();
        text.push_str(&entry(&self.producer, Kind::Task, "signs tasks", Some("producer")));
        text.push_str(&entry(&self.worker, Kind::Task, "decrypts tasks", None));
        text.push_str(&entry(&self.worker_sign, Kind::Result, "signs results", Some("worker")));
        text.push_str(&entry(&self.reader, Kind::Result, "decrypts results", None));
        text
    }

    fn configuration(&self, deployment: &str) -> String {
        let (worker, reader) = (self.worker.kid, self.reader.kid);
        let [producer_key, worker_key, worker_sign_key, reader_key] =
            [&self.producer, &self.worker, &self.worker_sign, &self.reader].map(|key| quoted(&key.place));
        format!(
            r#"# Everything on one machine. In production the producer has its own key and that of the reader, the worker the other keys,
# and both have keyset.toml.
deployment = "{deployment}"

[broker]
# Without a URL the queue is a file, queue/queue.db. A user who can write to it must not be able to write to the state folder.
# url = "rediss://taskseal@redis.example:6380/0"
# password_file = "redis-password"

[client]
issuer = "producer"
suite = "SP"
key = {producer_key}
recipient = "{worker}"
result_key = {reader_key}
lifetime = "1h"
attempts = 5
retention = "24h"
# Maximum number of tasks under one signature, for many tasks or a slow token. Above 1, every worker needs
# `batches = true` in [policy].
# sign_batch = 64

[worker]
id = "worker"
decryption_keys = [{worker_key}]
result_suite = "SP"
result_key = {worker_sign_key}
result_recipient = "{reader}"

[[worker.queue]]
name = "default"

[policy]
suites = ["SP"]
# batches = true
max_lifetime = "24h"
max_body = "1MiB"

[[handler]]
type = "file:digest"
program = ["./handlers/digest"]
pass_env = ["PATH"]
timeout = "1m"
"#
        )
    }
}

/// The argument as a POSIX shell reads it.
fn shell_word(text: &str) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b'+' | b'=' | b',')
    };
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain) {
        return text.to_owned();
    }
    let quoted = format!("'{}'", text.replace('\'', r"'\''"));
    if text.starts_with('-') { format!("-- {quoted}") } else { quoted }
}

const HANDLER: &str = r#"#!/bin/sh
# Runs tasks of type file:digest: the body is standard input, the result standard output.
set -eu
if command -v sha256sum >/dev/null; then
    digest=$(sha256sum)
else
    digest=$(shasum -a 256)
fi
printf '{"sha256":"%s"}\n' "${digest%% *}"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_whose_making_failed_is_named_for_it_may_be_there() {
        let mut names = Vec::new();
        assert!(
            noted(&mut names, "local/worker", || Err(Failure::unavailable("the token is away"))).is_err()
        );
        assert_eq!(names, ["local/worker (perhaps)"]);
    }
}
