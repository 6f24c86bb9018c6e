//! `taskseal init`: creates a folder with a working project.

mod keys;
mod templates;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;
use taskseal::config::Config;
use taskseal::file_error::FileError;
use taskseal_hsm::TokenUri;

use self::keys::Keys;
use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::output::shell::shell_word;
use crate::session::setup_failure;
use crate::ui::Ui;

/// Create a working project: configuration, keys, keyset, a handler and a sample
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal init demo\n  taskseal init demo --pkcs11 'pkcs11:token=prod?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin'"
)]
pub(crate) struct Args {
    /// The folder, which must be empty or not exist
    dir: PathBuf,
    /// First part of every audience: DEPLOYMENT/QUEUE
    #[arg(long, default_value = "local", value_name = "NAME", value_parser = deployment)]
    deployment: String,
    /// Generate the private keys in this token instead of files
    #[arg(long, value_name = "URI", value_parser = TokenUri::parse)]
    pkcs11: Option<TokenUri>,
}

fn deployment(name: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=63).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(name.to_owned())
    } else {
        Err("expected 1 to 63 of A-Z a-z 0-9 . _ -".to_owned())
    }
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let dir = &args.dir;
    let is_new = is_missing(dir)?;
    if let Some(token) = &args.pkcs11 {
        keys::check_labels(token, &args.deployment)?;
    }
    let mut in_token = Vec::new();
    let keys = create_project(args, &mut in_token).inspect_err(|_| {
        remove_empty_folders(dir, is_new);
        if let (Some(token), false) = (&args.pkcs11, in_token.is_empty()) {
            let keys = in_token.join(", ");
            ui.warn(&format!("keys generated before the failure remain in {}: {keys}", token.name()));
        }
    })?;
    print(dir, &keys, ui)
}

/// Folders of a project and their modes.
const FOLDERS: [(&str, u32); 4] = [("keys", 0o700), ("handlers", 0o755), ("queue", 0o700), ("state", 0o700)];

/// Creates folders, keys and files. `in_token` receives the names of the keys generated in the token, also on failure.
fn create_project(args: &Args, in_token: &mut Vec<String>) -> Result<Keys, Failure> {
    let (dir, deployment) = (&args.dir, &args.deployment);
    create_dir(dir, 0o755)?;
    for (name, mode) in FOLDERS {
        create_dir(&dir.join(name), mode)?;
    }
    let keys = match &args.pkcs11 {
        Some(token) => Keys::in_token(token, deployment, in_token)?,
        None => Keys::in_files(dir)?,
    };
    let files = [
        ("keyset.toml", keys.keyset(deployment), 0o644),
        ("taskseal.toml", templates::configuration(deployment, &keys), 0o644),
        ("handlers/digest", templates::HANDLER.to_owned(), 0o755),
        ("sample.txt", templates::SAMPLE.to_owned(), 0o644),
        (".gitignore", templates::GITIGNORE.to_owned(), 0o644),
    ];
    for (name, content, mode) in &files {
        create_file(&dir.join(name), content, *mode)?;
    }
    let config = Config::load(&dir.join("taskseal.toml")).map_err(Failure::config)?;
    config.create_queue().map_err(|error| setup_failure(&config, error))?;
    // No task has run on this queue.
    config.create_ledger(true).map_err(|error| setup_failure(&config, error))?;
    Ok(keys)
}

/// Returns whether the folder does not exist. An existing folder must be empty.
fn is_missing(dir: &Path) -> Result<bool, Failure> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(Failure::new(format!("{}: not empty", dir.display()))
                .hint("existing files are not overwritten: name a folder that is empty or does not exist")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(creation_failure(dir, &error)),
    }
}

/// Removes what was created without content. Keys and files remain, so that the cause can be examined.
fn remove_empty_folders(dir: &Path, is_new: bool) {
    let folders = FOLDERS.iter().map(|(name, _)| dir.join(name)).chain(is_new.then(|| dir.to_owned()));
    folders.for_each(|folder| drop(fs::remove_dir(folder)));
}

fn create_dir(dir: &Path, mode: u32) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(|error| creation_failure(dir, &error))
}

fn create_file(path: &Path, content: &str, mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(|error| creation_failure(path, &error))
}

fn creation_failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(FileError::io(path, "cannot be created", error).to_string())
}

fn print(dir: &Path, keys: &Keys, ui: &Ui) -> Result<(), Failure> {
    let next = [
        format!("cd {}", shell_word(&dir.to_string_lossy())),
        "taskseal enqueue --queue default --type file:digest --payload sample.txt".to_owned(),
        "taskseal worker --once".to_owned(),
        "taskseal result ID".to_owned(),
    ];
    if ui.json() {
        let kid = |key: &KeySummary| json!(key.kid.to_string());
        return ui.object(vec![
            ("dir", json!(dir.to_string_lossy())),
            ("producer", kid(&keys.producer)),
            ("worker", kid(&keys.worker)),
            ("worker_sign", kid(&keys.worker_sign)),
            ("reader", kid(&keys.reader)),
            ("next", json!(next)),
        ]);
    }
    ui.note(&format!("created a project in {}; next:", dir.display()));
    ui.text(&format!("{}\n", next.join("\n")))
}
