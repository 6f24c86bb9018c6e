//! A replay ledger that is lost: nothing runs until an operator has created another, and what ran does not run again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rusqlite::Connection;
use taskseal::time::UnixMillis;

use crate::support::project::Project;
use crate::support::queue::ONCE;

/// Deletes the ledger and what SQLite keeps beside it.
fn lose_ledger(project: &Project) {
    for entry in fs::read_dir(project.path("state")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("ledger.db") {
            fs::remove_file(path).unwrap();
        }
    }
}

/// A project in which a task has run, whose queue delivers it again, and whose ledger is lost.
fn replayed_without_ledger() -> Project {
    let project = Project::new();
    project.handler("echo run >> runs");
    project.enqueue();
    fs::copy(project.path("queue/queue.db"), project.path("copy.db")).unwrap();
    project.run(&ONCE).ok();
    for file in ["queue.db-wal", "queue.db-shm"] {
        drop(fs::remove_file(project.path("queue").join(file)));
    }
    fs::copy(project.path("copy.db"), project.path("queue/queue.db")).unwrap();
    lose_ledger(&project);
    assert_eq!((runs(&project), &project.counts()["pending"]), (1, &1.into()));
    project
}

fn runs(project: &Project) -> usize {
    fs::read_to_string(project.path("runs")).unwrap().lines().count()
}

#[test]
fn worker_whose_ledger_was_emptied_does_not_start_before_it_is_created_again() {
    let project = replayed_without_ledger();
    let ledger = project.path("state/ledger.db");
    fs::write(&ledger, "").unwrap();
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o600)).unwrap();

    for _ in 0..2 {
        let run = project.run(&ONCE);
        run.failed(8).hinted();
        assert!(run.err.contains("ledger.db does not exist or is empty"), "{run:?}");
    }
    assert_eq!((fs::metadata(&ledger).unwrap().len(), &project.counts()["pending"]), (0, &1.into()));

    project.run(&["ledger", "init"]).ok();
    project.run(&["ledger", "init"]).failed(1);
    project.run(&ONCE).ok();
    assert_eq!((runs(&project), &project.counts()["archived"]), (1, &1.into()));
}

#[test]
fn worker_whose_ledger_is_lost_does_not_start_and_creates_none() {
    let project = replayed_without_ledger();

    let run = project.run(&ONCE);

    run.failed(8).hinted();
    assert!(run.err.contains("ledger missing") && run.err.contains("taskseal ledger init"), "{run:?}");
    assert!(!project.path("state/ledger.db").exists());
    fs::remove_dir_all(project.path("state")).unwrap();
    let elsewhere = project.run(&["worker", "--once", "--config", "./taskseal.toml"]);
    elsewhere.failed(8).hinted();
    assert!(elsewhere.err.contains("`taskseal --config ./taskseal.toml ledger init`"), "{elsewhere:?}");
    assert!(!project.path("state").exists());
    assert_eq!(runs(&project), 1);
}

#[test]
fn task_that_ran_is_refused_by_a_ledger_that_replaces_the_lost_one_and_a_new_task_runs() {
    let project = replayed_without_ledger();

    project.run(&["ledger", "init"]).ok();
    project.run(&ONCE).ok();

    assert_eq!((runs(&project), &project.counts()["archived"]), (1, &1.into()));
    let refused = project.run(&["quarantine", "show", "1", "--json"]).ok().json();
    assert_eq!(refused["code"], "replayed");
    assert!(
        refused["detail"].as_str().unwrap().contains("issued before this ledger was created"),
        "{refused}"
    );
    project.enqueue();
    project.run(&ONCE).ok();
    assert_eq!(runs(&project), 2);
}

#[test]
fn release_of_a_task_that_the_ledger_refused_warns_that_it_is_refused_again() {
    let project = replayed_without_ledger();
    project.run(&["ledger", "init"]).ok();
    project.run(&ONCE).ok();

    let released = project.run(&["quarantine", "release", "1"]);

    let warning = "the replay ledger refused 1 of them and will refuse them again";
    assert!(released.ok().err.contains(warning) && released.err.contains("(replayed)"), "{released:?}");
    project.run(&ONCE).ok();
    assert_eq!((runs(&project), &project.counts()["archived"]), (1, &1.into()));
}

#[test]
fn new_ledger_states_when_tasks_of_a_slow_clock_are_accepted() {
    let project = Project::new();
    for (arguments, states) in
        [(&["ledger", "init"][..], true), (&["ledger", "init", "--accept-older"], false)]
    {
        lose_ledger(&project);
        let created = project.run(arguments);
        assert_eq!(created.ok().err.contains("wait 60 s before producers enqueue"), states, "{created:?}");
    }
}

#[test]
fn waiting_task_runs_if_the_operator_accepts_older_ones() {
    let project = Project::new();
    project.handler("echo run >> runs");
    project.enqueue();
    lose_ledger(&project);

    project.run(&["ledger", "init", "--accept-older"]).ok();
    project.run(&ONCE).ok();

    assert_eq!(runs(&project), 1);
}

/// Lets the ledger have recorded a time that is `ahead` of the clock of this host.
fn record_later_time(project: &Project, ahead: Duration) {
    let latest = UnixMillis::now().plus(ahead).0;
    let ledger = Connection::open(project.path("state/ledger.db")).unwrap();
    assert_eq!(ledger.execute("UPDATE identity SET latest = ?1", [latest]).unwrap(), 1);
}

#[test]
fn worker_whose_clock_is_behind_the_ledger_does_not_start_until_an_operator_accepts_the_clock() {
    let project = Project::new();
    project.handler("echo run >> runs");
    project.enqueue();
    record_later_time(&project, Duration::from_secs(3600));

    for command in [&["worker"][..], &ONCE] {
        let run = project.run(command);
        run.failed(5).hinted();
        assert!(run.err.contains("(clock-behind-ledger)"), "{run:?}");
        assert!(run.err.contains("`taskseal ledger accept-clock`"), "{run:?}");
    }
    let check = project.run(&["check"]);
    assert!(check.failed(5).text().contains("(clock-behind-ledger)"), "{check:?}");
    assert_eq!(project.counts()["pending"], 1);

    project.run(&["ledger", "accept-clock"]).ok();
    project.run(&ONCE).ok();
    assert_eq!(runs(&project), 1);
}

#[test]
fn clock_that_is_behind_the_ledger_by_less_than_the_skew_is_accepted() {
    let project = Project::new();
    project.handler("echo run >> runs");
    project.enqueue();
    record_later_time(&project, Duration::from_secs(30));

    project.run(&ONCE).ok();

    assert_eq!(runs(&project), 1);
}

#[test]
fn ledger_that_exists_is_not_replaced() {
    let project = Project::new();
    let before = fs::read(project.path("state/ledger.db")).unwrap();

    project.run(&["ledger", "init", "--accept-older"]).failed(1).hinted();

    assert_eq!(fs::read(project.path("state/ledger.db")).unwrap(), before);
}
