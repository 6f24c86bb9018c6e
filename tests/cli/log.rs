//! The log of a worker: it never blocks the worker's end, its lines carry their time, and refusals do not flood it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::io::{PipeWriter, Write, pipe};
use std::process::{Child, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};
use serde_json::Value;
use taskseal::time::rfc3339;

use crate::support::program::{Run, run_with_environment, taskseal};
use crate::support::project::Project;
use crate::support::queue::{ONCE, terminate, until};

/// Fills a pipe, so that the next write to it blocks.
fn fill(mut pipe: &PipeWriter) {
    let flags = fcntl_getfl(pipe).unwrap();
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK).unwrap();
    while pipe.write(&[b' '; 4096]).is_ok() {}
    fcntl_setfl(pipe, flags).unwrap();
}

fn ends(mut child: Child) -> i32 {
    let mut status = None;
    until("the program ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code().unwrap()
}

#[test]
fn worker_whose_log_is_not_read_ends_on_a_signal() {
    let project = Project::new();
    project.handler("touch ran");
    project.enqueue();
    let (_unread, stderr) = pipe().unwrap();
    fill(&stderr);
    let mut command = taskseal(project.dir.path(), &[], &["worker"]);
    let worker = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    until("the task runs", || project.counts()["completed"] == 1);

    terminate(&worker);

    assert_eq!(ends(worker), 0);
}

#[test]
fn worker_that_cannot_start_and_whose_log_is_not_read_ends() {
    let project = Project::new();
    fs::remove_file(project.path("keyset.toml")).unwrap();
    let (_unread, stderr) = pipe().unwrap();
    fill(&stderr);
    let mut command = taskseal(project.dir.path(), &[], &["worker"]);
    let worker = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();

    assert_eq!(ends(worker), 2);
}

/// Runs a worker on 33 tasks that it refuses.
fn refuse_33(options: &[&str]) -> Run {
    let project = Project::new();
    let lines = "{\"body\": 1}\n".repeat(33);
    let enqueue = ["enqueue", "--queue", "default", "--type", "file:digest", "--jsonl", "-"];
    project.run_with(&enqueue, lines.as_bytes()).ok();
    project.storage().execute("UPDATE record SET envelope = x'7b7d'", []).unwrap();
    let run = project.run(&[&ONCE[..], options].concat());
    run.ok();
    run
}

#[test]
fn flood_of_refused_tasks_gives_twenty_lines_and_their_number() {
    for options in [["--quiet"].as_slice(), &[]] {
        let run = refuse_33(options);
        assert_eq!(run.err.matches(" refused 0").count(), 20, "{run:?}");
        let more = "Z refused 13 more tasks (unsealed) in the last minute [refused-more]\n";
        assert!(run.err.contains(more), "{run:?}");
    }
}

#[test]
fn line_of_text_ends_with_the_name_that_the_object_has_as_its_event() {
    let (text, objects) = (refuse_33(&[]), refuse_33(&["--json"]));

    let names = objects.err.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone());
    let names: Vec<_> = names.filter(|name| name != "note").collect();
    assert!(names.len() > 20, "{objects:?}");
    for name in names {
        let end = format!(" [{}]", name.as_str().unwrap());
        assert!(text.err.lines().any(|line| line.ends_with(&end)), "{end}: {text:?}");
    }
}

#[test]
fn flood_of_refused_tasks_gives_an_event_with_code_and_count() {
    let run = refuse_33(&["--json"]);

    let events: Vec<Value> = run.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).cloned().collect::<Vec<_>>();
    assert_eq!(of("refused").len(), 20);
    let more = of("refused-more");
    assert_eq!((more.len(), &more[0]["code"], &more[0]["count"]), (1, &"unsealed".into(), &13.into()));
}

#[test]
fn lines_carry_their_time_unless_the_service_manager_adds_it() {
    let project = Project::new();
    let ready = |run: &Run| {
        let line = run.ok().err.lines().find(|line| line.contains("ready: queues")).unwrap();
        line.split_once(" ready: ").unwrap().0.to_owned()
    };
    // A stream that is not this standard error, as a child of a service has it in its environment.
    let inherited = [("JOURNAL_STREAM", std::path::Path::new("1:1"))];

    for environment in [[].as_slice(), &inherited] {
        let head = ready(&run_with_environment(project.dir.path(), environment, &ONCE, b""));
        let time = head.strip_prefix("taskseal: ").unwrap();
        assert!(rfc3339::parse(time).is_some(), "{time}");
    }

    let log = fs::File::create(project.path("log")).unwrap();
    let stat = fstat(&log).unwrap();
    let stream = format!("{}:{}", stat.st_dev, stat.st_ino);
    let environment = [("JOURNAL_STREAM", std::path::Path::new(&stream))];
    let mut command = taskseal(project.dir.path(), &environment, &ONCE);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).status().unwrap();
    assert!(status.success());
    let log = fs::read_to_string(project.path("log")).unwrap();
    assert!(log.starts_with("taskseal: ready: queues"), "{log}");
}
