//! A host that reads the keyset that the commands sign.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use taskseal_tests::redis::RedisServer;
use taskseal_tests::web_server::WebServer;

use crate::support::program::Run;
use crate::support::project::Project;
use crate::support::queue::{terminate, until};

const ENQUEUE: [&str; 7] =
    ["enqueue", "--queue", "default", "--type", "file:digest", "--payload", "sample.txt"];

/// A project that pins the root of its keyset.
fn project() -> Project {
    let project = Project::new();
    let roots = keyset(&project, "init --name local --root root.key").ok().text();
    project.edit("keyset.toml", "distribution = \"10m\"", "distribution = \"0s\"");
    project.edit("taskseal.toml", "[broker]", &format!("[keys]\n{roots}\n[broker]"));
    sign(&project);
    project
}

fn keyset(project: &Project, arguments: &str) -> Run {
    project.run(&["keyset"].into_iter().chain(arguments.split(' ')).collect::<Vec<_>>())
}

fn sign(project: &Project) {
    keyset(project, "sign --root root.key").ok();
}

/// Returns the kid of the key that seals tasks.
fn task_key(project: &Project) -> String {
    let shown = keyset(project, "show --json").ok().json();
    let mut keys = shown["keys"].as_array().unwrap().iter();
    keys.find(|key| key["label"] == "signs tasks").unwrap()["kid"].as_str().unwrap().to_owned()
}

#[test]
fn task_of_a_revoked_key_is_refused_and_the_key_seals_nothing() {
    let project = project();
    project.run(&ENQUEUE).ok();
    keyset(&project, &format!("revoke {}", task_key(&project))).ok();
    sign(&project);

    let run = project.run(&["worker", "--once"]);

    assert!(run.ok().err.contains("key-not-valid"), "{run:?}");
    project.run(&ENQUEUE).failed(3).hinted();
}

#[test]
fn task_runs_on_both_sides_of_a_rotation() {
    let project = project();
    let before = project.run(&ENQUEUE).ok().text();
    let kid = stage(&project);
    keyset(&project, &format!("activate {kid}")).ok();
    sign(&project);
    project.run(&ENQUEUE).failed(3).hinted();
    project.edit("taskseal.toml", "keys/producer.key", "keys/new.key");
    let after = project.run(&ENQUEUE).ok().text();

    project.run(&["worker", "--once"]).ok();

    for id in [before, after] {
        assert!(project.run(&["result", id.trim()]).ok().text().contains("sha256"));
    }
}

/// Stages a new key that seals tasks, and returns its kid.
fn stage(project: &Project) -> String {
    let rights = ["--issuer", "producer", "--type", "*", "--audience", "local/*"];
    let new = [&["keygen", "sign", "--out", "keys/new.key"][..], &rights].concat();
    let entry = project.run(&new).ok().out.clone();
    fs::write(project.path("entry"), &entry).unwrap();
    keyset(project, "add entry").ok();
    sign(project);
    String::from_utf8(entry).unwrap().split('"').nth(1).unwrap().to_owned()
}

/// Returns the sequence number that the only listed process states.
fn fleet_sequence(project: &Project) -> Option<u64> {
    let run = project.run(&["fleet", "ls", "--json"]);
    let lines = run.ok().text();
    let process: Value = serde_json::from_str(lines.lines().next()?).unwrap();
    process["sequence"].as_u64()
}

#[test]
fn key_is_not_activated_while_a_worker_shows_an_older_keyset() {
    let project = project();
    project.edit("taskseal.toml", "[[worker.queue]]", "[fleet]\nstatus_every = \"1s\"\n\n[[worker.queue]]");
    let mut worker = project.spawn(&["worker"], &[]);
    until("the worker to be listed", || fleet_sequence(&project) == Some(1));
    // It reads no keyset until it continues; its status is kept.
    signal(&worker, Signal::STOP);
    let kid = stage(&project);

    let run = keyset(&project, &format!("activate {kid}"));
    assert!(run.failed(6).hinted().err.contains("processes use a keyset before 2: worker:"), "{run:?}");
    let run = project.run(&["rotate", "signing", "--dry-run"]);
    assert!(run.ok().text().contains("processes use a keyset before 2"), "{run:?}");

    signal(&worker, Signal::CONT);
    until("the worker to read the keyset", || fleet_sequence(&project) == Some(2));
    keyset(&project, &format!("activate {kid}")).ok();
    terminate(&worker);
    assert!(worker.wait().unwrap().success());
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn keyset_that_redis_carries_reaches_a_host_without_the_file() {
    let Some(redis) = RedisServer::start_or_skip() else { return };
    let project = project();
    keyset(&project, "publish --to broker:").failed(2);
    let url = format!("[broker]\nurl = \"{}\"\n", redis.url());
    project.edit("taskseal.toml", "[broker]\n", &url);
    project.edit("taskseal.toml", "[keys]\n", "[keys]\nkeyset_url = \"broker:\"\nkeyset = \"none.cose\"\n");
    keyset(&project, "publish --to broker: --dry-run").ok();
    project.run(&ENQUEUE).failed(5).hinted();

    keyset(&project, "publish --to broker:").ok();

    project.run(&ENQUEUE).ok();
    assert!(project.run(&["worker", "--once"]).ok().err.contains("1 succeeded"));
}

#[test]
fn keyset_is_published_to_a_web_server_that_stores_it_and_copied_to_one_that_does_not() {
    let project = project();
    let read_only = WebServer::start(false);
    let run = keyset(&project, &format!("publish --to {}", read_only.url()));
    assert!(run.failed(5).err.contains("does not accept PUT"), "{run:?}");
    assert!(run.err.contains("copy the signed keyset to the place"), "{run:?}");
    keyset(&project, "publish --to ftp://host/keyset.cose").failed(2).hinted();

    let server = WebServer::start(true);
    let url = server.url();
    keyset(&project, &format!("publish --to {url} --dry-run")).ok();
    let fields = format!("[keys]\nkeyset_url = \"{url}\"\nkeyset = \"none.cose\"\n");
    project.edit("taskseal.toml", "[keys]\n", &fields);
    project.run(&ENQUEUE).failed(5).hinted();
    keyset(&project, &format!("publish --to {url}")).ok();
    project.run(&ENQUEUE).ok();
    assert!(project.run(&["worker", "--once"]).ok().err.contains("1 succeeded"));

    fs::copy(project.path("keyset.cose"), project.path("older.cose")).unwrap();
    sign(&project);
    keyset(&project, &format!("publish --to {url}")).ok();
    let run = keyset(&project, &format!("publish older.cose --to {url}"));
    assert!(run.failed(3).hinted().err.contains("(rolled-back)"), "{run:?}");
}

#[test]
fn roots_of_the_configuration_verify_a_keyset_without_its_draft() {
    let project = project();
    fs::rename(project.path("keyset.toml"), project.path("away.toml")).unwrap();

    keyset(&project, "verify").ok();

    assert_eq!(keyset(&project, "show keyset.cose --json").ok().json()["sequence"], 1);
    let other = Project::new();
    fs::copy(project.path("keyset.cose"), other.path("other.cose")).unwrap();
    keyset(&other, "verify other.cose").failed(2).hinted();
    let foreign = self::project();
    fs::copy(project.path("keyset.cose"), foreign.path("other.cose")).unwrap();
    let run = keyset(&foreign, "verify other.cose");
    assert!(run.failed(3).hinted().err.contains("(unknown-root)"), "{run:?}");
}

#[test]
fn roots_beside_a_keyset_do_not_replace_those_of_the_configuration() {
    let project = project();
    // A keyset with the roots of its sender beside it.
    let foreign = self::project();
    for name in ["keyset.cose", "keyset.toml"] {
        let to = project.path(&name.replace("keyset.", "other."));
        fs::copy(foreign.path(name), to).unwrap();
    }
    for command in ["verify other.cose", "show other.cose", "publish other.cose --to public.cose"] {
        let run = keyset(&project, command);
        assert!(run.failed(3).hinted().err.contains("(unknown-root)"), "{run:?}");
    }
    assert!(!project.path("public.cose").exists());

    fs::remove_file(project.path("taskseal.toml")).unwrap();

    let run = keyset(&project, "verify other.cose");
    assert!(run.ok().err.contains("name and roots are those of other.toml"), "{run:?}");
}
