//! The command `worker`: handlers, several workers, signals, the service manager.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, test_kill_process};
use serde_json::Value;

use crate::support::notify::NotifySocket;
use crate::support::project::Project;
use crate::support::queue::{ONCE, terminate, until};

#[test]
fn words_of_a_failing_handler_reach_the_log_escaped_and_the_queue_not_at_all() {
    let project = Project::new();
    project.handler("printf 'secret \\033[31m\\nwords' >&2; exit 1");
    let id = project.enqueue();

    let run = project.run(&[&ONCE[..], &["--quiet"]].concat());

    run.ok();
    let expected =
        format!("Z failed {id}, will be retried: exit status: 1: secret \\u{{1b}}[31m\\nwords [retried]\n");
    assert!(run.err.contains(&expected), "{run:?}");
    let result = project.run(&["result", &id]);
    result.failed(6).hinted();
    assert!(result.err.contains("retry"), "{result:?}");
    let inspected = project.run(&["task", "inspect", &id]).ok().text();
    assert!(inspected.starts_with("unverified: ") && !inspected.contains("secret"), "{inspected}");
}

#[test]
fn handler_that_gives_up_leaves_an_archived_task() {
    let project = Project::new();
    project.handler("exit 65");
    let id = project.enqueue();

    let tally = project.run(&[&ONCE[..], &["--json"]].concat()).ok().json();

    assert_eq!((&tally["archived"], &tally["succeeded"]), (&1.into(), &0.into()));
    let archived =
        project.run(&["task", "ls", "--queue", "default", "--state", "archived", "--json"]).ok().json();
    assert_eq!((&archived["id"], &archived["unverified"]), (&id.clone().into(), &true.into()));
    assert!(project.run(&["result", &id, "--wait", "1h"]).failed(1).err.contains("archived"));
}

#[test]
fn two_workers_share_the_tasks_and_none_runs_twice() {
    let project = Project::new();
    project.handler("echo x >> runs");
    let lines = "{\"body\": 1}\n".repeat(40);
    let options = ["enqueue", "--queue", "default", "--type", "file:digest", "--jsonl", "-"];
    project.run_with(&options, lines.as_bytes()).ok();

    let workers = [(); 2].map(|()| project.spawn(&["worker", "--once", "--json"], &[]));
    let succeeded = workers.map(|worker| {
        let output = worker.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["succeeded"].as_u64().unwrap()
    });

    assert_eq!(succeeded.iter().sum::<u64>(), 40);
    assert_eq!(fs::read_to_string(project.path("runs")).unwrap().lines().count(), 40);
    assert_eq!(project.counts()["completed"], 40);
}

#[test]
fn sigterm_lets_the_running_task_end_and_tells_the_service_manager() {
    let project = Project::new();
    project.handler("touch started; until [ -e go ]; do sleep 0.02; done; echo ended");
    let manager = NotifySocket::bind(project.path("notify"));
    let id = project.enqueue();
    let worker = project.spawn(&["worker"], &manager.environment());
    until("the handler runs", || project.path("started").exists());

    terminate(&worker);
    assert_eq!([manager.receive(), manager.receive()], ["READY=1", "STOPPING=1"]);
    project.run(&["result", &id]).failed(6);
    fs::write(project.path("go"), "").unwrap();
    let output = worker.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("draining") && said.ends_with("taskseal: done: 1 succeeded\n"), "{said}");
    assert_eq!(project.run(&["result", &id]).ok().text(), "ended\n");
}

#[test]
fn second_signal_stops_at_once_and_takes_the_handler_along() {
    let project = Project::new();
    project.handler("echo $$ > pid.new; mv pid.new pid; exec sleep 600");
    let id = project.enqueue();
    let mut worker = project.spawn(&["worker"], &[]);
    until("the handler runs", || project.path("pid").exists());
    let pid = fs::read_to_string(project.path("pid")).unwrap().trim().parse().unwrap();
    let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines().map(Result::unwrap);

    terminate(&worker);
    assert!(lines.any(|line| line.contains(" draining: ")));
    terminate(&worker);

    assert_eq!(worker.wait().unwrap().code(), Some(1));
    until("the handler is gone", || test_kill_process(Pid::from_raw(pid).unwrap()).is_err());
    project.run(&["result", &id]).failed(6);
}

#[test]
fn watchdog_is_fed_only_when_it_was_asked_for() {
    let project = Project::new();
    let manager = NotifySocket::bind(project.path("notify"));
    let environment = [&manager.environment()[..], &[("WATCHDOG_USEC", Path::new("20000"))]].concat();
    let worker = project.spawn(&["worker"], &environment);
    let states = [manager.receive(), manager.receive(), manager.receive()];

    terminate(&worker);

    assert_eq!(states, ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    assert_eq!(worker.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn worker_whose_metrics_cannot_be_written_does_not_start() {
    let project = Project::new();
    let id = project.enqueue();
    // A folder that is not there, a name that is a folder's, a file in the place of the folder.
    for file in ["nowhere/metrics", "handlers", "sample.txt/metrics"] {
        let run = project.run(&[&ONCE[..], &["--metrics", file]].concat());
        run.failed(2).hinted();
        assert!(run.err.contains(file) && run.err.contains("metrics cannot be written"), "{run:?}");
    }
    assert!(!project.path("state/quarantine.db").exists());
    assert_eq!(project.counts()["pending"], 1);
    project.run(&[&ONCE[..], &["--metrics", "metrics"]].concat()).ok();
    let metrics = fs::read_to_string(project.path("metrics")).unwrap();
    assert!(metrics.contains("taskseal_tasks_total{outcome=\"succeeded\"} 1\n"), "{id}: {metrics}");
}

#[test]
fn state_folder_that_others_can_write_to_is_refused() {
    let project = Project::new();
    fs::set_permissions(project.path("state"), Permissions::from_mode(0o770)).unwrap();

    let run = project.run(&ONCE);

    run.failed(1).hinted();
    assert!(run.err.contains("mode 0770") && run.err.contains("chmod go-w"), "{run:?}");
}

#[test]
fn configuration_that_others_can_write_to_is_refused() {
    let project = Project::new();
    fs::set_permissions(project.path("taskseal.toml"), Permissions::from_mode(0o664)).unwrap();

    let run = project.run(&ONCE);

    run.failed(2).hinted();
    assert!(run.err.contains("mode 0664") && run.err.contains("chmod go-w"), "{run:?}");
}
