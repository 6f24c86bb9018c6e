//! When a worker reports that it is ready, and what it says of its host before.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr};

use redis::cmd;
use serde_json::Value;
use taskseal_tests::redis::RedisServer;
use taskseal_tests::token_folder::TokenFolder;

use crate::support::notify::NotifySocket;
use crate::support::project::Project;
use crate::support::queue::terminate;
use crate::support::token::RunWithToken;

const WORKER: [&str; 2] = ["worker", "--json"];
const ONCE: [&str; 3] = ["worker", "--once", "--json"];

fn project_on(server: &RedisServer) -> Project {
    let project = Project::new();
    let url = format!("url = \"{}\"", server.url());
    project.edit("taskseal.toml", "# url = \"rediss://taskseal@redis.example:6380/0\"", &url);
    project
}

/// The events that a run wrote.
fn events_of(err: &str) -> Vec<Value> {
    err.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn positions(events: &[Value], name: &str) -> Vec<usize> {
    events.iter().enumerate().filter(|(_, event)| event["event"] == name).map(|(at, _)| at).collect()
}

struct Log(Lines<BufReader<ChildStderr>>);

impl Log {
    fn of(worker: &mut Child) -> Self {
        Self(BufReader::new(worker.stderr.take().unwrap()).lines())
    }

    /// Returns the names of the events up to the first with this name.
    fn until(&mut self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        while names.last().is_none_or(|last| last != name) {
            let line = self.0.next().unwrap_or_else(|| panic!("no {name} after {names:?}")).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            names.push(event["event"].as_str().unwrap().to_owned());
        }
        names
    }
}

#[test]
fn worker_is_not_ready_before_its_queue_answers() {
    let Some(mut server) = RedisServer::start_or_skip() else { return };
    let project = project_on(&server);
    server.kill();
    let manager = NotifySocket::bind(project.path("notify"));
    let mut worker = project.spawn(&WORKER, &manager.environment());
    let mut log = Log::of(&mut worker);

    let names = log.until("broker-failed");
    assert!(!names.iter().any(|name| name == "ready"), "{names:?}");
    assert!(manager.receive().starts_with("EXTEND_TIMEOUT_USEC="));
    server.restart();
    log.until("ready");
    while manager.receive() != "READY=1" {}

    terminate(&worker);
    assert_eq!(worker.wait().unwrap().code(), Some(0));
}

#[test]
fn worker_that_may_not_write_to_its_queue_is_not_ready() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = project_on(&server);
    cmd("ACL").arg("SETUSER").arg(&["default", "-set"]).exec(&mut server.raw()).unwrap();
    let run = project.run(&["worker", "--once"]);
    run.failed(5).hinted();
    assert!(!run.err.contains("ready") && run.err.contains("rights"), "{run:?}");

    let mut worker = project.spawn(&WORKER, &[]);
    let mut log = Log::of(&mut worker);
    let names = log.until("broker-failed");
    assert!(!names.iter().any(|name| name == "ready"), "{names:?}");
    cmd("ACL").arg("SETUSER").arg(&["default", "+set"]).exec(&mut server.raw()).unwrap();
    log.until("ready");
    terminate(&worker);
    assert_eq!(worker.wait().unwrap().code(), Some(0));
}

#[test]
fn worker_on_a_redis_without_memory_is_ready_because_it_empties_it() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = project_on(&server);
    cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec(&mut server.raw()).unwrap();
    let mut worker = project.spawn(&WORKER, &[]);
    let names = Log::of(&mut worker).until("ready");
    assert!(names.iter().any(|name| name == "broker-failed"), "{names:?}");
    terminate(&worker);
    assert_eq!(worker.wait().unwrap().code(), Some(0));
}

#[test]
fn worker_warns_once_of_a_redis_that_deletes_tasks() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = project_on(&server);
    cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("volatile-ttl").exec(&mut server.raw()).unwrap();
    let run = project.run(&[&ONCE[..], &["--quiet"]].concat());
    let events = events_of(&run.ok().err);
    assert_eq!(positions(&events, "broker-evicts").len(), 1, "{run:?}");
    assert_eq!(events[0]["policy"], "volatile-ttl");
}

#[test]
fn worker_says_that_it_cannot_know_whether_redis_deletes_tasks() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = project_on(&server);
    cmd("ACL").arg("SETUSER").arg(&["default", "-info"]).exec(&mut server.raw()).unwrap();
    let run = project.run(&ONCE);
    let events = events_of(&run.ok().err);
    let unknown = positions(&events, "eviction-unknown");
    assert_eq!(unknown.len(), 1, "{run:?}");
    assert!(events[unknown[0]]["reason"].as_str().unwrap().contains("+info"), "{run:?}");
}

#[test]
fn worker_whose_results_its_keyset_refuses_says_so_before_it_is_ready() {
    let project = Project::new();
    project.edit("keyset.toml", "issuers = [\"worker\"]", "issuers = [\"other\"]");
    let run = project.run(&ONCE);
    let events = events_of(&run.ok().err);
    let refused = positions(&events, "results-refused");
    assert_eq!(refused.len(), 1, "{run:?}");
    assert!(events[refused[0]]["reason"].as_str().unwrap().contains("issuer-not-allowed"), "{run:?}");
    assert!(refused < positions(&events, "ready"), "{run:?}");
}

#[test]
fn worker_with_a_wrong_pin_exits_with_code_7_after_one_attempt() {
    let folder = TokenFolder::new();
    let project: &Path = &folder.project();
    fs::write(folder.path("pin"), "00000000").unwrap();
    let run = folder.run_in(project, &["worker"]);
    run.failed(7).hinted();
    assert!(run.err.contains("worker.decryption_keys") && run.err.contains("rejected the PIN"), "{run:?}");
    let listed = folder.run(&["token", "ls", "--module", folder.library().to_str().unwrap(), "--json"]);
    assert_eq!(listed.ok().json()["pin"], "count-low");
}

#[test]
fn worker_of_a_host_in_order_is_ready_without_a_warning() {
    let project = Project::new();
    let run = project.run(&ONCE);
    let events = events_of(&run.ok().err);
    assert_eq!(events[0]["event"], "ready", "{run:?}");
    let Some(server) = RedisServer::start_or_skip() else { return };
    let run = project_on(&server).run(&ONCE);
    assert_eq!(events_of(&run.ok().err)[0]["event"], "ready", "{run:?}");
}
