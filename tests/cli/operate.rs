//! What an operator does with tasks and queues.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use crate::support::brokers::on_both_brokers;
use crate::support::project::Project;
use crate::support::queue::{ENQUEUE, ONCE};

/// Makes the handler of a project give up `count` tasks.
fn fail(project: &Project, count: usize) -> Vec<String> {
    project.handler("[ -e mended ] || exit 65; echo done");
    let ids = (0..count).map(|_| project.enqueue()).collect();
    project.run(&ONCE).ok();
    assert_eq!(project.counts()["archived"], count);
    ids
}

/// Number of tasks in a state.
fn count(project: &Project, state: &str) -> u64 {
    project.counts()[state].as_u64().unwrap()
}

/// Changes the tasks that match; returns how many.
fn change(project: &Project, words: &[&str]) -> u64 {
    let run = project.run(&[&["task"], words, &["--queue", "default", "--yes", "--json"]].concat());
    run.ok().json()["changed"].as_u64().unwrap()
}

const ARCHIVED: [&str; 4] = ["--queue", "default", "--state", "archived"];

#[test]
fn failed_tasks_are_run_again_by_one_command() {
    on_both_brokers(|project| {
        let ids = fail(project, 3);
        std::fs::write(project.path("mended"), "").unwrap();

        let run = project.run(&[&["task", "run"], &ARCHIVED[..], &["--all", "--yes"]].concat());

        assert_eq!(run.ok().text(), "pending: 3 of 3 tasks in queue default\n");
        project.run(&ONCE).ok();
        for id in ids {
            assert_eq!(project.run(&["result", &id]).ok().text(), "done\n");
        }
    });
}

#[test]
fn one_task_is_run_by_its_id_and_an_unknown_id_is_not_found() {
    on_both_brokers(|project| {
        let ids = fail(project, 2);
        let run = project.run(&["task", "run", &ids[0]]);
        assert_eq!(run.ok().text(), format!("pending: {} in queue default, archived before\n", ids[0]));
        project.run(&["task", "run", "0193a5b0-0000-7000-8000-000000000001"]).failed(4).hinted();
        project.run(&["task", "run", &ids[0]]).failed(1).hinted();
        assert_eq!((count(project, "pending"), count(project, "archived")), (1, 1));
    });
}

#[test]
fn many_tasks_are_changed_only_with_a_filter_and_a_confirmation() {
    on_both_brokers(|project| {
        fail(project, 2);
        project.run(&["task", "delete"]).failed(2);
        project.run(&[&["task", "delete"], &ARCHIVED[..]].concat()).failed(2).hinted();
        project.run(&[&["task", "delete"], &ARCHIVED[..], &["--all"]].concat()).failed(2).hinted();
        assert_eq!(count(project, "archived"), 2);
        let delete =
            |filter: &[&str]| change(project, &[&["delete", "--state", "archived"], filter].concat());
        for filter in
            [["--type", "file:other"], ["--issuer", "another"], ["--code", "unknown-key"], ["--older", "1h"]]
        {
            assert_eq!(delete(&filter), 0, "{filter:?}");
        }
        assert_eq!(delete(&["--type", "file:*", "--issuer", "producer", "--since", "1h"]), 2);
        assert_eq!(count(project, "archived"), 0);
    });
}

#[test]
fn every_operation_changes_the_tasks_that_a_filter_matches() {
    on_both_brokers(|project| {
        project.edit("taskseal.toml", "max_lifetime = \"24h\"", "max_lifetime = \"1h\"");
        project.run(&[&ENQUEUE[..], &["--force"]].concat()).ok();
        project.run(&[&ENQUEUE[..], &["--lifetime", "1h", "--in", "30m"]].concat()).ok();
        project.run(&ONCE).ok();
        assert_eq!((count(project, "archived"), count(project, "scheduled")), (1, 1));

        let refused = ["--state", "archived", "--code", "lifetime-too-long", "--older", "0s"];
        for operation in ["retry", "run"] {
            assert_eq!(change(project, &[&[operation], &refused[..]].concat()), 1);
            project.run(&ONCE).ok();
        }
        assert_eq!(count(project, "archived"), 1, "it is refused again");
        assert_eq!(change(project, &["run", "--state", "scheduled", "--type", "file:digest"]), 1);
        assert_eq!(change(project, &["archive", "--state", "pending", "--issuer", "producer"]), 1);
        assert_eq!(
            change(project, &["retry", "--state", "archived", "--type", "file:*", "--since", "1h"]),
            2
        );
        assert_eq!(change(project, &["cancel", "--state", "pending", "--all"]), 2);
        assert_eq!(change(project, &["delete", "--state", "archived", "--all"]), 2);
        assert_eq!((count(project, "archived"), count(project, "pending")), (0, 0));
    });
}

#[test]
fn task_that_waits_is_archived_and_does_not_run() {
    on_both_brokers(|project| {
        let id = project.enqueue();
        project.run(&["task", "cancel", &id]).ok();
        project.run(&ONCE).ok();
        assert_eq!((count(project, "archived"), count(project, "completed")), (1, 0));
    });
}

#[test]
fn queue_is_deleted_with_its_tasks_only_on_request() {
    on_both_brokers(|project| {
        fail(project, 2);
        project.run(&["queue", "delete", "other"]).failed(4);
        project.run(&["queue", "delete", "default"]).failed(1).hinted();
        assert_eq!(count(project, "archived"), 2);
        project.run(&["queue", "delete", "default", "--with-tasks"]).ok();
        assert_eq!(count(project, "archived"), 0);
    });
}

#[test]
fn time_of_a_task_is_shown_with_its_meaning() {
    on_both_brokers(|project| {
        fail(project, 1);
        let later = project.run(&[&ENQUEUE[..], &["--in", "1h"]].concat()).ok().text();

        let mixed = project.run(&["task", "ls", "--queue", "default"]).ok().text();
        assert!(mixed.contains("archived at 2") && mixed.contains("next try 2"), "{mixed}");
        let archived = project.run(&[&["task", "ls"], &ARCHIVED[..]].concat()).ok().text();
        assert!(archived.contains("ARCHIVED AT") && !archived.contains("archived at"), "{archived}");
        let inspected = project.run(&["task", "inspect", later.trim(), "--json"]).ok().json();
        assert_eq!(inspected["at_is"], "next try");
    });
}

#[test]
fn tasks_beyond_the_limit_of_the_archive_are_deleted_counted_and_reported() {
    let project = Project::new();
    fail(&project, 5);
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
