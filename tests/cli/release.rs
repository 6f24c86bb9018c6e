//! Bringing refused tasks back: released tasks are verified again, run once, and stay in quarantine until they are accepted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;

use serde_json::Value;
use taskseal_tests::fake_redis::FakeRedis;
use taskseal_tests::redis::RedisServer;

use crate::support::project::Project;
use crate::support::queue::{ONCE, terminate, until};

/// Runs each test on a SQLite file and on Redis.
macro_rules! on_both_brokers {
    ($($test:ident,)*) => {
        mod embedded {
            $(#[test]
            fn $test() {
                super::$test(&super::Project::new());
            })*
        }
        mod redis {
            $(#[test]
            fn $test() {
                let Some(server) = super::RedisServer::start_or_skip() else { return };
                let project = super::Project::new();
                let url = format!("url = \"{}\"", server.url());
                project.edit("taskseal.toml", "# url = \"rediss://taskseal@redis.example:6380/0\"", &url);
                super::$test(&project);
            })*
        }
    };
}

on_both_brokers! {
    failed_and_refused_tasks_are_brought_back_by_one_command_each,
    task_that_is_still_unacceptable_is_refused_again_and_stays_in_quarantine,
    task_released_twice_runs_once,
    task_released_while_a_worker_runs_is_run_by_it,
    task_that_its_queue_has_lost_is_released_from_the_quarantine,
    task_with_another_envelope_under_its_id_is_not_released_and_stays,
}

/// Refuses a new task: its key is missing in the keyset, and it lives longer than the policy allows. Returns its id.
fn refused(project: &Project) -> String {
    let id = project.enqueue();
    let keyset = fs::read_to_string(project.path("keyset.toml")).unwrap();
    let mut keys: Vec<_> = keyset.split("[[key]]").collect();
    keys.remove(1);
    fs::write(project.path("keyset.toml"), keys.join("[[key]]")).unwrap();
    project.edit("taskseal.toml", "max_lifetime = \"24h\"", "max_lifetime = \"1h\"");
    project.edit("taskseal.toml", "\nlifetime = \"24h\"", "\nlifetime = \"1h\"");
    project.run(&ONCE).ok();
    fs::write(project.path("complete-keyset.toml"), keyset).unwrap();
    let [entry] = &entries(project)[..] else { panic!("{:?}", entries(project)) };
    assert_eq!((&entry["code"], &entry["id"]), (&"unknown-key".into(), &id.as_str().into()));
    assert_eq!((&entry["number"], &entry["disposition"]), (&1.into(), &"archived".into()));
    id
}

/// Adds the key to the keyset and raises the lifetime.
fn correct(project: &Project) {
    fs::rename(project.path("complete-keyset.toml"), project.path("keyset.toml")).unwrap();
    project.edit("taskseal.toml", "max_lifetime = \"1h\"", "max_lifetime = \"24h\"");
}

fn entries(project: &Project) -> Vec<Value> {
    let listed = project.run(&["quarantine", "ls", "--json"]).ok().text();
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn runs(project: &Project) -> usize {
    fs::read_to_string(project.path("runs")).map_or(0, |runs| runs.lines().count())
}

fn failed_and_refused_tasks_are_brought_back_by_one_command_each(project: &Project) {
    project.handler("[ -e mended ] || exit 65; echo done");
    let failed = project.enqueue();
    project.run(&ONCE).ok();
    let refused = refused(project);
    fs::write(project.path("mended"), "").unwrap();
    correct(project);

    project.run(&["task", "run", &failed]).ok();
    let released = project.run(&["quarantine", "release", "--code", "unknown-key", "--yes"]);

    assert_eq!(released.ok().text(), "released: 1 of 1 entries\n");
    assert!(!released.err.contains("would refuse"), "{released:?}");
    assert_eq!(entries(project)[0]["disposition"], "released");
    project.run(&ONCE).ok();
    for id in [failed, refused] {
        assert_eq!(project.run(&["result", &id]).ok().text(), "done\n");
    }
    assert!(entries(project).is_empty(), "{:?}", entries(project));
}

fn task_that_is_still_unacceptable_is_refused_again_and_stays_in_quarantine(project: &Project) {
    project.handler("echo run >> runs");
    refused(project);

    let released = project.run(&["quarantine", "release", "1"]);

    assert!(released.ok().err.contains("would refuse 1 of them again"), "{released:?}");
    project.run(&ONCE).ok();
    let [entry] = &entries(project)[..] else { panic!("{:?}", entries(project)) };
    assert_eq!((&entry["number"], &entry["count"]), (&1.into(), &2.into()));
    assert_eq!((&entry["disposition"], runs(project)), (&"archived".into(), 0));
    assert_eq!(project.counts()["archived"], 1);
}

fn task_released_twice_runs_once(project: &Project) {
    project.handler("echo run >> runs");
    let id = refused(project);
    correct(project);

    let released = |text: &str| {
        let run = project.run(&["quarantine", "release", "1"]);
        assert_eq!(run.ok().text(), format!("{text}\n"));
    };
    released(&format!("released: entry 1, task {id} in queue default"));
    released(&format!("unchanged: entry 1, task {id} in queue default is pending already"));

    project.run(&ONCE).ok();
    project.run(&["quarantine", "release", "1"]).failed(4).hinted();
    project.run(&ONCE).ok();
    assert_eq!(runs(project), 1);
}

fn task_released_while_a_worker_runs_is_run_by_it(project: &Project) {
    project.handler("echo run >> runs");
    refused(project);
    correct(project);
    let worker = project.spawn(&["worker", "--json"], &[]);

    project.run(&["quarantine", "release", "1", "--json"]).ok();

    until("the task is accepted", || entries(project).is_empty());
    terminate(&worker);
    assert!(worker.wait_with_output().unwrap().status.success());
    assert_eq!((runs(project), &project.counts()["completed"]), (1, &1.into()));
}

fn task_that_its_queue_has_lost_is_released_from_the_quarantine(project: &Project) {
    project.handler("echo run >> runs");
    let id = refused(project);
    correct(project);
    project.run(&["task", "delete", &id]).ok();

    project.run(&["quarantine", "release", "--all", "--yes"]).ok();

    project.run(&ONCE).ok();
    project.run(&["result", &id]).ok();
    assert_eq!((runs(project), entries(project).len()), (1, 0));
}

fn task_with_another_envelope_under_its_id_is_not_released_and_stays(project: &Project) {
    project.handler("echo run >> runs");
    let id = refused(project);
    correct(project);
    project.run(&["task", "delete", &id]).ok();
    project.run(&[&crate::support::queue::ENQUEUE[..], &["--id", &id]].concat()).ok();

    let run = project.run(&["quarantine", "release", "1"]);

    run.failed(1).hinted();
    assert!(run.err.contains("has another task with id"), "{run:?}");
    assert_eq!(entries(project)[0]["disposition"], "archived");
    assert_eq!(project.counts()["pending"], 1);
}

#[test]
fn entries_that_do_not_exist_or_are_not_named_are_not_released() {
    let project = Project::new();
    let (number, filter) = (["quarantine", "release", "7"], ["quarantine", "release", "--code", "expired"]);
    project.run(&number).failed(4).hinted();
    project.handler("echo run >> runs");
    refused(&project);

    project.run(&number).failed(4).hinted();
    let none = project.run(&filter).ok().text();
    assert_eq!(none, "released: 0 of 0 entries\n");
    for arguments in [
        &["quarantine", "release"][..],
        &["quarantine", "release", "--all"],
        &["quarantine", "release", "--code", "unknown-key"],
        &["quarantine", "release", "1", "--code", "unknown-key"],
        &["quarantine", "release", "1", "--all"],
        &["quarantine", "release", "--code", "bad-luck", "--yes"],
        &["quarantine", "release", "--kid", "00", "--yes"],
        &["quarantine", "release", "--state", "lost", "--yes"],
    ] {
        project.run(arguments).failed(2);
    }
    let both = project.run(&["quarantine", "release", "1", "7"]);
    both.failed(4).hinted();
    assert!(both.text().starts_with("released: entry 1, "), "{both:?}");
}

#[test]
fn task_that_its_queue_does_not_store_is_not_released_and_stays() {
    let project = Project::new();
    project.handler("echo run >> runs");
    refused(&project);
    let server = FakeRedis::start(|words| match words[0].to_ascii_uppercase().as_slice() {
        b"PING" => b"+PONG\r\n".to_vec(),
        _ => b"-NOPERM this user has no permissions\r\n".to_vec(),
    });
    let configuration = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let url = format!("url = \"{}\"", server.url());
    project.edit("taskseal.toml", "# url = \"rediss://taskseal@redis.example:6380/0\"", &url);

    project.run(&["quarantine", "release", "1"]).failed(5).hinted();

    fs::write(project.path("taskseal.toml"), configuration).unwrap();
    assert_eq!(entries(&project)[0]["disposition"], "archived");
    assert_eq!(project.counts()["archived"], 1);
}

#[test]
fn released_task_whose_handler_fails_leaves_the_quarantine() {
    let project = Project::new();
    project.handler("exit 65");
    let id = refused(&project);
    correct(&project);
    project.run(&["quarantine", "release", "1"]).ok();
    assert!(project.run(&["quarantine", "ls", "--state", "released"]).ok().text().contains(&id));

    project.run(&ONCE).ok();

    assert_eq!((entries(&project).len(), &project.counts()["archived"]), (0, &1.into()));
}

#[test]
fn bytes_that_are_not_an_envelope_are_not_released_and_stay() {
    let project = Project::new();
    project.enqueue();
    project.storage().execute("UPDATE record SET envelope = x'00'", []).unwrap();
    project.run(&ONCE).ok();

    let run = project.run(&["quarantine", "release", "1"]);

    run.failed(1).hinted();
    assert!(run.err.contains("entry 1 is not an envelope (unsealed)"), "{run:?}");
    assert_eq!(entries(&project)[0]["disposition"], "archived");
}

#[test]
fn task_with_altered_metadata_is_released_under_the_words_of_its_seal() {
    for alteration in ["UPDATE task SET id = 'other'", "UPDATE record SET type = 'file:other'"] {
        let project = Project::new();
        let id = project.enqueue();
        project.storage().execute(alteration, []).unwrap();
        project.run(&ONCE).ok();
        assert_eq!(entries(&project)[0]["code"], "metadata-mismatch");

        project.run(&["quarantine", "release", "1"]).ok();

        project.run(&ONCE).ok();
        project.run(&["result", &id]).ok();
        assert_eq!((entries(&project).len(), &project.counts()["archived"]), (0, &0.into()), "{alteration}");
    }
}
