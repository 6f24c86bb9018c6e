//! Tasks that share one signature.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;

use taskseal::config::Config;
use taskseal::{Client, QueueName, Task};
use taskseal_core::ContentType;

use crate::support::project::{OPEN, Project};
use crate::support::queue::ONCE;

const JSONL: [&str; 7] = ["enqueue", "--queue", "default", "--type", "file:digest", "--jsonl", "-"];

/// A project whose client seals up to 64 tasks under one signature.
fn batching() -> Project {
    let project = Project::new();
    project.edit("taskseal.toml", "# sign_batch = 64", "sign_batch = 64");
    project
}

fn enqueue(project: &Project, count: usize) -> Vec<String> {
    let run = project.run_with(&JSONL, "{\"body\": 1}\n".repeat(count).as_bytes());
    run.ok().text().lines().map(str::to_owned).collect()
}

/// Two envelopes of one batch.
fn two_envelopes(project: &Project) -> Vec<Vec<u8>> {
    let config = Config::load(&project.path("taskseal.toml")).unwrap();
    let client = Client::open(&config).unwrap();
    let queue = QueueName::parse("default").unwrap();
    let task = || Task::from_bytes("file:digest", ContentType::OCTETS, b"the body".to_vec()).unwrap();
    let tasks = vec![task().queue(queue.clone()), task().queue(queue)];
    let sealed =
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(client.seal_all(tasks));
    sealed.into_iter().map(|sealed| sealed.unwrap().envelope).collect()
}

#[test]
fn worker_without_batches_postpones_them_and_names_the_setting() {
    let project = batching();
    let lines = "{\"body\": 1}\n".repeat(3);
    let refused = project.run_with(&JSONL, lines.as_bytes());
    assert!(refused.failed(3).hinted().err.contains("3 suite-not-allowed"), "{refused:?}");
    let forced = project.run_with(&[&JSONL[..], &["--force"]].concat(), lines.as_bytes()).ok().text();
    let ids: Vec<_> = forced.lines().collect();

    let run = project.run(&[&ONCE[..], &["--json"]].concat());

    let tally = run.ok().json();
    assert_eq!((&tally["postponed"]["suite-not-allowed"], &tally["succeeded"]), (&3.into(), &0.into()));
    assert!(run.err.contains("[policy] batches"), "{}", run.err);
    let kept = project.run(&["task", "ls", "--queue", "default", "--state", "retry"]).ok().text();
    assert!(ids.iter().all(|id| kept.contains(id)), "{kept}");
}

#[test]
fn batched_envelope_is_opened_and_forwarded_only_if_the_configuration_or_an_option_says_so() {
    let project = batching();
    let envelope = &two_envelopes(&project)[0];
    fs::write(project.path("task.cose"), envelope).unwrap();
    let forward = ["enqueue", "--queue", "default", "--sealed", "task.cose"];

    let refused = project.run_with(&OPEN, envelope);
    assert!(refused.failed(3).hinted().err.contains("--batches"), "{refused:?}");
    project.run(&forward).failed(3).hinted();
    let opened = project.run_with(&[&OPEN[..], &["--batches"]].concat(), envelope);
    assert_eq!(opened.ok().out, b"the body");

    project.edit("taskseal.toml", "# batches = true", "batches = true");
    assert_eq!(project.run_with(&OPEN, envelope).ok().out, b"the body");
    project.run(&forward).ok();
}

#[test]
fn inspect_and_open_tell_whether_a_task_was_sealed_in_a_batch() {
    let project = batching();
    let open = |envelope: &[u8]| {
        let opened = project.run_with(&[&OPEN[..], &["--batches", "--json"]].concat(), envelope).ok().json();
        let inspected = project.run_with(&["inspect", "--json"], envelope).ok().json();
        assert_eq!(opened["batched"], inspected["batched"]);
        opened["batched"].clone()
    };

    assert_eq!(open(&two_envelopes(&project)[1]), true);
    assert_eq!(open(&project.seal(b"")), false);
}

#[test]
fn tasks_in_batches_run_and_their_results_are_opened() {
    let project = batching();
    project.edit("taskseal.toml", "# batches = true", "batches = true");
    let ids = enqueue(&project, 130);

    let tally = project.run(&[&ONCE[..], &["--json"]].concat()).ok().json();

    assert_eq!((&tally["succeeded"], &tally["refused"]), (&130.into(), &serde_json::json!({})));
    for id in [&ids[0], &ids[63], &ids[129]] {
        assert!(project.run(&["result", id]).ok().text().contains("sha256"));
    }
}
