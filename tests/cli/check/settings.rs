//! `taskseal check` on hosts with an audit log, and beside workers that run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{CHECK, assert_fails, assert_found, findings, names};
use crate::support::project::Project;
use crate::support::queue::{terminate, until};

fn add(project: &Project, section: &str) {
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    fs::write(project.path("taskseal.toml"), format!("{text}\n{section}\n")).unwrap();
}

#[test]
fn audit_log_that_is_not_a_file_of_its_folder_is_found() {
    let project = super::used();
    project.run(&["keygen", "audit", "--out", "keys/audit.key"]).ok();
    add(&project, "[audit]\nkey = \"keys/audit.key\"");
    let before = names(project.dir.path());
    assert_found(project.run(&CHECK).ok(), "audit", "ok", "signed with");
    assert_eq!(names(project.dir.path()), before);

    symlink("elsewhere", project.path("state/audit.jsonl")).unwrap();
    assert_fails(&project, 5, "audit", "symbolic link");
    project.edit("taskseal.toml", "[audit]\n", "[audit]\nrequired = false\n");
    assert_found(project.run(&CHECK).ok(), "audit", "warn", "not recorded");
    assert!(!project.path("state/elsewhere").exists());
}

#[test]
fn key_of_the_audit_log_that_others_can_read_or_that_is_missing_is_found() {
    let project = super::used();
    add(&project, "[audit]");
    assert_found(project.run(&CHECK).ok(), "audit", "warn", "no checkpoints are signed");
    project.edit("taskseal.toml", "[audit]\n", "[audit]\nkey = \"keys/audit.key\"\n");
    assert_fails(&project, 5, "audit", "keys/audit.key");
    project.edit("taskseal.toml", "key = \"keys/audit.key\"\n", "");
    project.run(&["keygen", "audit", "--out", "keys/audit.key"]).ok();
    project.edit("taskseal.toml", "[audit]\n", "[audit]\nkey = \"keys/audit.key\"\n");
    fs::set_permissions(project.path("keys/audit.key"), Permissions::from_mode(0o644)).unwrap();
    assert_fails(&project, 1, "audit", "mode 0644");
}

#[test]
fn worker_that_would_differ_from_one_that_runs_is_found() {
    let project = super::used();
    let worker = project.spawn(&["worker"], &[]);
    until("the worker is listed", || !project.run(&["fleet", "ls", "--json"]).ok().out.is_empty());
    assert_found(project.run(&CHECK).ok(), "fleet", "ok", "");

    project.edit("taskseal.toml", "max_lifetime = \"24h\"", "max_lifetime = \"25h\"");
    assert_found(project.run(&CHECK).ok(), "fleet", "warn", "its policy is another one");
    add(&project, "[fleet]\non_difference = \"refuse\"");
    assert_fails(&project, 1, "fleet", "its policy is another one");

    terminate(&worker);
    assert!(worker.wait_with_output().unwrap().status.success());
    assert_found(project.run(&CHECK).ok(), "fleet", "ok", "");
}

#[test]
fn fleet_without_statuses_that_must_agree_is_found() {
    let project = super::used();
    add(&project, "[fleet]\nstatus_every = \"0s\"\non_difference = \"refuse\"");
    let run = project.run(&CHECK);
    assert_found(run.ok(), "fleet", "warn", "publishes no status");
    assert_eq!(findings(&run, "fleet").len(), 1);
}
