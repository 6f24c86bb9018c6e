//! Which commands create the files of the queue and of `[state]`, and what happens without them.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::project::{OPEN, Project, SEAL};
use crate::support::queue::{ENQUEUE, ONCE};

const ID: &str = "0193a5b0-0000-7000-8000-000000000001";

/// Commands that change nothing.
const LOOKING: [&[&str]; 12] = [
    &["queue", "ls"],
    &["task", "ls", "--queue", "default"],
    &["task", "inspect", ID],
    &["result", ID],
    &["result", ID, "--queue", "default"],
    &["quarantine", "ls"],
    &["quarantine", "show", "1"],
    &["inspect", "-"],
    &["doctor"],
    &["check"],
    &SEAL,
    &OPEN,
];

/// Returns every file and folder in `folder`.
fn listing(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { with_content(path) } else { BTreeSet::from([path]) }).collect()
}

fn with_content(folder: PathBuf) -> BTreeSet<PathBuf> {
    let mut found = listing(&folder);
    found.insert(folder);
    found
}

/// A project after `remove` has removed some of its files and folders.
fn without(remove: &[&str]) -> Project {
    let project = Project::new();
    for name in remove {
        let path = project.path(name);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    project
}

#[test]
fn commands_that_only_look_create_no_file_and_no_folder() {
    let lost: [&[&str]; 4] = [&["queue", "state"], &["queue/queue.db", "state/ledger.db"], &["state"], &[]];
    for remove in lost {
        let project = without(remove);
        let before = listing(project.dir.path());
        for command in LOOKING {
            let envelope = if command == OPEN { project.seal(b"body") } else { Vec::new() };
            let run = project.run_with(command, &envelope);
            assert_eq!(listing(project.dir.path()), before, "{command:?}: {run:?}");
        }
    }
}

#[test]
fn commands_on_a_lost_queue_file_fail_and_name_the_command_that_creates_one() {
    let project = without(&["queue"]);

    for command in [&ENQUEUE[..], &ONCE, &["queue", "ls"], &["queue", "pause", "default"], &["result", ID]] {
        let run = project.run(command);
        run.failed(5).hinted();
        assert!(run.err.contains("no such queue file"), "{run:?}");
        assert!(run.err.contains("`taskseal queue init`"), "{run:?}");
    }

    assert!(!project.path("queue").exists());
    project.run(&["queue", "init"]).ok();
    fs::write(project.path("queue/queue.db"), "").unwrap();
    for command in [&ENQUEUE[..], &ONCE, &["queue", "ls"]] {
        project.run(command).failed(5).hinted();
    }
    assert_eq!(fs::metadata(project.path("queue/queue.db")).unwrap().len(), 0);
    project.run(&["queue", "init"]).ok();
    project.run(&ENQUEUE).ok();
    project.run(&["queue", "init"]).failed(1);
    project.run(&ONCE).ok();
}

#[test]
fn worker_with_a_wrong_key_creates_no_file() {
    let project = Project::new();
    let key = fs::read_dir(project.path("keys")).unwrap().map(|entry| entry.unwrap().path());
    key.for_each(|path| fs::write(path, "not a key").unwrap());
    let before = listing(project.dir.path());

    project.run(&ONCE).failed(1);

    assert_eq!(listing(project.dir.path()), before);
}

#[test]
fn quarantine_that_does_not_exist_yet_is_empty() {
    let project = Project::new();

    let listed = project.run(&["quarantine", "ls", "--json"]);

    assert!(listed.ok().out.is_empty(), "{listed:?}");
    project.run(&["quarantine", "show", "1"]).failed(4).hinted();
}
