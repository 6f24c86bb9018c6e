//! The processes below this one, found in /proc.
//!
//! This process is their subreaper: a process whose parent has ended becomes a child of this one, also one that has left its
//! session.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};

/// Kills all descendants and waits until none is left. A process that is started meanwhile is found in the next round.
pub(super) fn kill_all() {
    loop {
        for pid in all() {
            let _ = kill_process(pid, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                // Another thread may have waited for the last one.
                Err(Errno::CHILD) => return,
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) | Err(_) => break,
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Returns whether a descendant has the standard output or the standard error of this process open.
pub(super) fn hold_output() -> bool {
    let outputs: Vec<PathBuf> =
        ["/proc/self/fd/1", "/proc/self/fd/2"].iter().filter_map(|fd| fs::read_link(fd).ok()).collect();
    all().into_iter().any(|pid| {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())) else {
            return false;
        };
        let mut targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| outputs.contains(&target))
    })
}

/// Returns all descendants that have not ended.
fn all() -> Vec<Pid> {
    let mut found = children(getpid());
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children(pid));
        next += 1;
    }
    found
}

fn children(of: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", of.as_raw_nonzero())) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = lists.flat_map(|list| {
        list.split_whitespace().filter_map(|number| number.parse().ok()).collect::<Vec<i32>>()
    });
    numbers.filter_map(Pid::from_raw).collect()
}
