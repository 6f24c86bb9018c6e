//! `taskseal check` on a host with a signed keyset.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;

use taskseal_tests::redis::RedisServer;

use super::{CHECK, assert_fails, assert_found, on_redis};
use crate::support::project::Project;

const ENQUEUE: [&str; 7] =
    ["enqueue", "--queue", "default", "--type", "file:digest", "--payload", "sample.txt"];

fn sign(project: &Project, more: &[&str]) {
    project.run(&[&["keyset", "sign", "--root", "root.key"], more].concat()).ok();
}

/// A project that pins the root of its keyset, with more fields of `[keys]`.
fn project(fields: &str) -> Project {
    let project = Project::new();
    let roots = project.run(&["keyset", "init", "--name", "local", "--root", "root.key"]).ok().text();
    project.edit("taskseal.toml", "[broker]", &format!("[keys]\n{roots}\n{fields}\n[broker]"));
    project
}

#[test]
fn keyset_that_is_missing_rolled_back_or_expiring_is_found_and_nothing_is_recorded() {
    let project = project("");
    assert_fails(&project, 2, "keyset", "no such file");
    sign(&project, &[]);
    let first = fs::read(project.path("keyset.cose")).unwrap();
    let run = project.run(&CHECK);
    assert_found(run.ok(), "keyset", "ok", "`local` sequence 1");
    assert_found(&run, "checkpoint", "skip", "no signed keyset yet");
    assert!(!project.path("state/keyset-checkpoint").exists());

    sign(&project, &[]);
    project.run(&ENQUEUE).ok();
    assert_found(project.run(&CHECK).ok(), "checkpoint", "ok", "sequence 2");
    fs::write(project.path("keyset.cose"), first).unwrap();
    assert_fails(&project, 3, "keyset", "(rolled-back)");
    project.run(&ENQUEUE).failed(3).hinted();
}

#[test]
fn checkpoint_that_is_damaged_or_gone_is_found_with_exit_code_8() {
    let project = project("");
    sign(&project, &[]);
    project.run(&ENQUEUE).ok();
    let record = project.path("state/keyset-checkpoint");
    fs::write(&record, "").unwrap();
    assert_fails(&project, 8, "keyset", "(checkpoint-damaged)");
    project.run(&["worker", "--once"]).failed(8).hinted();
    fs::remove_file(&record).unwrap();
    assert_fails(&project, 8, "keyset", "(checkpoint-missing)");
    project.run(&ENQUEUE).failed(8).hinted();
}

#[test]
fn keyset_that_is_published_to_redis_is_fetched_and_an_outage_is_a_warning() {
    let Some(mut server) = RedisServer::start_or_skip() else { return };
    let project = project("keyset_url = \"broker:\"\nkeyset = \"of-host.cose\"");
    on_redis(&project, &server.url());
    sign(&project, &[]);
    let first = fs::read(project.path("keyset.cose")).unwrap();
    assert_fails(&project, 5, "keyset", "(keyset-unavailable)");
    let publish = ["keyset", "publish", "--to", "broker:"];
    project.run(&publish).ok();
    project.run(&ENQUEUE).ok();
    sign(&project, &[]);
    project.run(&publish).ok();
    // Without the record of the root, Redis itself has the newer one.
    fs::write(project.path("older.cose"), first).unwrap();
    let configuration = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let root = configuration.split("roots = [\"").nth(1).unwrap().split('"').next().unwrap();
    let older = [&publish[..], &["older.cose", "--name", "local", "--roots", root]].concat();
    assert!(project.run(&older).failed(3).err.contains("rolled-back"));
    project.run(&ENQUEUE).ok();

    server.stop();
    let run = project.run(&CHECK);
    assert_found(&run, "keyset", "ok", "sequence 2");
    assert_found(&run, "keyset", "ok", "broker: or ");
    assert_found(&run, "keyset", "warn", "broker:");
    project.run(&publish).failed(5).hinted();
}
