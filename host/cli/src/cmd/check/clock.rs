//! Checks that the clock of the host is plausible: tasks are accepted and refused by it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use taskseal::config::Config;
use taskseal::time::{UnixMillis, check_release};

use super::Finding;
use crate::session::setup_failure;
use crate::time_arg;

const CHECK: &str = "clock";
const HINT: &str = "synchronise the clock of this host, with NTP for example";

/// How far a file may be in the future: clocks of two hosts differ.
const TOLERANCE: Duration = Duration::from_secs(60);

pub(super) fn finding(config: &Config) -> Finding {
    let (now, shown) = (SystemTime::now(), time_arg::show(UnixMillis::now()));
    if let Err(error) = check_release(now.into()) {
        return Finding::fail(CHECK, setup_failure(config, error.into()));
    }
    let program = std::env::current_exe().ok();
    let files = program.iter().map(|program| &**program).chain([&*config.file, &*config.keyset]);
    match files.into_iter().find(|file| changed_after(file, now + TOLERANCE)) {
        None => Finding::ok(CHECK, shown),
        Some(file) => {
            let message = format!("{} was changed after {shown}, the time of this host", file.display());
            Finding::warn(CHECK, message).hint(HINT)
        }
    }
}

fn changed_after(file: &Path, time: SystemTime) -> bool {
    fs::metadata(file).and_then(|metadata| metadata.modified()).is_ok_and(|changed| changed > time)
}
