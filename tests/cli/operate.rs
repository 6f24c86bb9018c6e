//! What an operator does with tasks and queues.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use crate::support::project::Project;
use crate::support::queue::ONCE;

/// A project whose handler has given up `count` tasks.
fn failed(count: usize) -> (Project, Vec<String>) {
    let project = Project::new();
    project.handler("[ -e mended ] || exit 65; echo done");
    let ids = (0..count).map(|_| project.enqueue()).collect();
    project.run(&ONCE).ok();
    assert_eq!(project.counts()["archived"], count);
    (project, ids)
}

const ARCHIVED: [&str; 4] = ["--queue", "default", "--state", "archived"];

#[test]
fn failed_tasks_are_run_again_by_one_command() {
    let (project, ids) = failed(3);
    std::fs::write(project.path("mended"), "").unwrap();

    let run = project.run(&[&["task", "run"], &ARCHIVED[..], &["--all", "--yes"]].concat());

    assert_eq!(run.ok().text(), "pending: 3 of 3 tasks in queue default\n");
    project.run(&ONCE).ok();
    for id in ids {
        assert_eq!(project.run(&["result", &id]).ok().text(), "done\n");
    }
}

#[test]
fn one_task_is_run_by_its_id_and_an_unknown_id_is_not_found() {
    let (project, ids) = failed(2);
    let run = project.run(&["task", "run", &ids[0]]);
    assert_eq!(run.ok().text(), format!("pending: {} in queue default, archived before\n", ids[0]));
    project.run(&["task", "run", "0193a5b0-0000-7000-8000-000000000001"]).failed(4).hinted();
    project.run(&["task", "run", &ids[0]]).failed(1).hinted();
    assert_eq!((&project.counts()["pending"], &project.counts()["archived"]), (&1.into(), &1.into()));
}

#[test]
fn many_tasks_are_changed_only_with_a_filter_and_a_confirmation() {
    let (project, _) = failed(2);
    project.run(&["task", "delete"]).failed(2);
    project.run(&[&["task", "delete"], &ARCHIVED[..]].concat()).failed(2).hinted();
    project.run(&[&["task", "delete"], &ARCHIVED[..], &["--all"]].concat()).failed(2).hinted();
    assert_eq!(project.counts()["archived"], 2);
    let matching = |filter: &[&str]| {
        let run = project.run(&[&["task", "delete"], &ARCHIVED[..], filter, &["--yes", "--json"]].concat());
        run.ok().json()["changed"].clone()
    };
    assert_eq!(matching(&["--type", "file:other"]), 0);
    assert_eq!(matching(&["--issuer", "another"]), 0);
    assert_eq!(matching(&["--code", "unknown-key"]), 0);
    assert_eq!(matching(&["--older", "1h"]), 0);
    assert_eq!(matching(&["--type", "file:*", "--since", "1h"]), 2);
    assert_eq!(project.counts()["archived"], 0);
}

#[test]
fn task_that_waits_is_archived_and_does_not_run() {
    let project = Project::new();
    let id = project.enqueue();
    project.run(&["task", "cancel", &id]).ok();
    project.run(&ONCE).ok();
    assert_eq!((&project.counts()["archived"], &project.counts()["completed"]), (&1.into(), &0.into()));
}

#[test]
fn queue_is_deleted_with_its_tasks_only_on_request() {
    let (project, _) = failed(2);
    project.run(&["queue", "delete", "other"]).failed(4);
    project.run(&["queue", "delete", "default"]).failed(1).hinted();
    assert_eq!(project.counts()["archived"], 2);
    project.run(&["queue", "delete", "default", "--with-tasks"]).ok();
    assert_eq!(project.counts()["archived"], 0);
}

#[test]
fn tasks_beyond_the_limit_of_the_archive_are_deleted_counted_and_reported() {
    let (project, _) = failed(5);
    assert_eq!(project.counts()["trimmed"], 0);
    project.edit("taskseal.toml", "[broker]", "[broker]\narchive_max_tasks = 2");

    let worker = project.run(&["worker", "--once", "--json", "--metrics", "metrics"]);

    assert_eq!(worker.ok().json()["trimmed"], 3);
    assert!(worker.err.contains("\"event\":\"archive-trimmed\""), "{worker:?}");
    let counts = project.counts();
    assert_eq!((&counts["archived"], &counts["trimmed"]), (&2.into(), &3.into()));
    let metrics = std::fs::read_to_string(project.path("metrics")).unwrap();
    assert!(metrics.contains("\ntaskseal_archive_trimmed_total 3\n"), "{metrics}");
}
