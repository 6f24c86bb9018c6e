//! Checks the folder of ledger, quarantine and modes, and opens these files. It creates none.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use rustix::process::geteuid;
use taskseal::config::{Config, SetupError};
use taskseal::file_security;

use super::Finding;
use crate::failure::Failure;
use crate::session::setup_failure;

const STATE: &str = "state";
const SPACE: &str = "disk-space";
const LEDGER: &str = "ledger";
const QUARANTINE: &str = "quarantine";
const MODES: &str = "modes";

/// Free space below which the ledger may soon be unable to record a task, in bytes.
const LITTLE_SPACE: u64 = 16 << 20;

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let dir = &config.state_dir;
    if config.worker.is_none() {
        return vec![Finding::skip(STATE, "no [worker] section: this host runs no tasks")];
    }
    let ledger = || file(config, LEDGER, &dir.join("ledger.db"), |config| config.open_ledger().map(drop));
    if !dir.exists() {
        // The error of the ledger names the command that creates both.
        return vec![Finding::skip(STATE, format!("{} does not exist", dir.display())), ledger()];
    }
    if let Err(failure) = folder(dir) {
        return vec![Finding::fail(STATE, failure)];
    }
    let mut findings = vec![Finding::ok(STATE, dir.display().to_string())];
    findings.extend(space(dir));
    findings.push(ledger());
    let quarantine = dir.join("quarantine.db");
    findings.push(if quarantine.symlink_metadata().is_ok() {
        file(config, QUARANTINE, &quarantine, |config| config.existing_quarantine().map(drop))
    } else {
        let message = format!("{} does not exist; the worker creates it", quarantine.display());
        Finding::skip(QUARANTINE, message)
    });
    findings.extend(modes(config));
    findings
}

/// Returns the line of the modes of the policy file; none without such a file, or before the first start of a worker.
fn modes(config: &Config) -> Option<Finding> {
    match config.check_modes() {
        Ok(false) => None,
        Ok(true) => Some(Finding::ok(MODES, "no mode is looser than one that this host has used")),
        Err(error) => Some(Finding::fail(MODES, setup_failure(config, error))),
    }
}

fn folder(dir: &Path) -> Result<(), Failure> {
    file_security::check_dir(dir).map_err(Failure::file)?;
    access(dir, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        Failure::unavailable(format!("{}: cannot be written: {error}", dir.display()))
            .hint("give the folder to the user of the worker, and mount it writable")
    })
}

fn space(dir: &Path) -> Option<Finding> {
    let system = statvfs(dir).ok()?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let message = format!("{} has {} MiB of free space", dir.display(), free >> 20);
    match free {
        0 => Some(Finding::fail(SPACE, Failure::unavailable(message).hint("free disk space"))),
        free if free < LITTLE_SPACE => Some(Finding::warn(SPACE, message).hint("free disk space")),
        _ => Some(Finding::ok(SPACE, message)),
    }
}

/// Opens a state file. `open` must not create it.
fn file(
    config: &Config,
    check: &'static str,
    path: &Path,
    open: impl FnOnce(&Config) -> Result<(), SetupError>,
) -> Finding {
    let exists = path.symlink_metadata().is_ok();
    match file_fault(path, 0o077).filter(|_| exists) {
        Some(failure) => Finding::fail(check, failure),
        None => {
            let opened = open(config).map_err(|error| {
                let failure = setup_failure(config, error);
                let hint = || "name the right folder with `dir` in [state], or restore the file".to_owned();
                Failure { hint: failure.hint.or_else(|| Some(hint())), ..failure }
            });
            Finding::of(check, opened.map(|()| path.display().to_string()))
        }
    }
}

/// Returns what is wrong with a database file before it is opened: opening an empty one would fill it. No bit of `forbidden` may
/// be set in its mode.
pub(super) fn file_fault(path: &Path, forbidden: u32) -> Option<Failure> {
    let name = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return Some(Failure::unavailable(format!("{name}: {error}"))),
    };
    if !metadata.is_file() {
        return Some(Failure::new(format!("{name} is not a regular file")).hint("move it away"));
    }
    if metadata.len() == 0 {
        return Some(
            Failure::new(format!("{name} is empty"))
                .hint("find out which program truncated it, and move it away"),
        );
    }
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if mode & forbidden != 0 {
        let failure = Failure::new(format!("{name} is accessible to other users (mode {mode:04o})"));
        return Some(failure.hint(format!("chmod {:o} {name}", mode & !forbidden)));
    }
    if let Err(error) = access(path, Access::READ_OK | Access::WRITE_OK) {
        let failure = Failure::unavailable(format!("{name}: cannot be written: {error}"));
        return Some(
            failure.hint("run this check as the user of the service, or give the file to that user"),
        );
    }
    if geteuid().is_root() && owner != 0 {
        let failure = Failure::new(format!("{name} is owned by another user (uid {owner})"));
        return Some(failure.hint("run this check as that user"));
    }
    None
}
