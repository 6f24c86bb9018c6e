//! What running workers state about themselves, and a worker that differs from them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::process::Child;

use crate::support::project::Project;
use crate::support::queue::{terminate, until};

/// Starts the worker of the project and waits until it is listed.
fn worker(project: &Project) -> Child {
    let worker = project.spawn(&["worker"], &[]);
    until("the worker to be listed", || !project.run(&["fleet", "ls", "--json"]).ok().out.is_empty());
    worker
}

fn stop(mut worker: Child) {
    terminate(&worker);
    assert_eq!(worker.wait().unwrap().code(), Some(0));
}

/// A second configuration of the same folder, whose policy is another one.
fn other_policy(project: &Project, fleet: &str) -> [&'static str; 2] {
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let changed = text.replace("max_lifetime = \"24h\"", "max_lifetime = \"23h\"");
    assert_ne!(text, changed);
    fs::write(project.path("other.toml"), format!("{changed}\n[fleet]\n{fleet}\n")).unwrap();
    ["--config", "other.toml"]
}

#[test]
fn fleet_without_a_worker_is_empty_and_does_not_pass_its_check() {
    let project = Project::new();
    assert_eq!(project.run(&["fleet", "ls"]).ok().text().lines().count(), 1);
    assert!(project.run(&["fleet", "ls", "--json"]).ok().out.is_empty());
    project.run(&["fleet", "ls", "--check"]).failed(1).hinted();
}

#[test]
fn worker_that_must_not_differ_does_not_start_beside_one_with_another_policy() {
    let project = Project::new();
    let running = worker(&project);

    let config = other_policy(&project, "on_difference = \"refuse\"");
    let run = project.run(&[&config[..], &["worker", "--once"]].concat());
    assert!(run.failed(1).hinted().err.contains("its policy is another one"), "{run:?}");
    // By default it starts, and says so.
    let config = other_policy(&project, "");
    let run = project.run(&[&config[..], &["worker", "--once"]].concat());
    assert!(run.ok().err.contains("its policy is another one"), "{run:?}");

    stop(running);
    let config = other_policy(&project, "on_difference = \"refuse\"");
    project.run(&[&config[..], &["worker", "--once"]].concat()).ok();
}

#[test]
fn fleet_lists_a_worker_with_what_it_works_with() {
    let project = Project::new();
    let running = worker(&project);

    let listed = project.run(&["fleet", "ls", "--json", "--check"]).ok().json();
    assert_eq!((&listed["role"], &listed["name"]), (&"worker".into(), &"worker".into()), "{listed}");
    assert_eq!(listed["pid"], running.id());
    assert_eq!(listed["queues"], serde_json::json!(["default"]));
    for fingerprint in ["keyset", "policy"] {
        assert_eq!(listed[fingerprint].as_str().unwrap().len(), 16, "{listed}");
    }
    let table = project.run(&["fleet", "ls"]).ok().text();
    assert!(table.contains(listed["policy"].as_str().unwrap()), "{table}");

    stop(running);
    assert!(project.run(&["fleet", "ls", "--json"]).ok().out.is_empty());
}
