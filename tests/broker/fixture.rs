//! The queue and the tasks of tests of one broker.
#![allow(clippy::unwrap_used)]

use taskseal::broker::sqlite::SqliteBroker;
use taskseal::broker::{Broker, NewTask, TaskRecord};
use taskseal::queue::QueueName;
use taskseal_tests::embedded::QueueFile;

pub(crate) fn queue() -> QueueName {
    QueueName::parse("mail").unwrap()
}

pub(crate) fn task(id: &str) -> NewTask {
    task_with(id, b"sealed".to_vec())
}

pub(crate) fn task_with(id: &str, envelope: Vec<u8>) -> NewTask {
    NewTask::now(TaskRecord {
        id: id.to_owned(),
        queue: "mail".to_owned(),
        envelope: envelope.into(),
        ..TaskRecord::default()
    })
}

/// Opens a queue file and stores `count` tasks, `t0` and on.
pub(crate) async fn filled(file: &QueueFile, count: usize) -> SqliteBroker {
    let broker = SqliteBroker::open(file.path()).unwrap();
    let tasks: Vec<NewTask> =
        (0..count).map(|number| task_with(&format!("t{number}"), vec![7; 50])).collect();
    broker.enqueue(&queue(), &tasks).await.unwrap();
    broker
}
