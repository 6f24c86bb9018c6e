//! The main job: seals and enqueues every file while a worker runs the tasks, then checks results and runs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use taskseal::worker::Event;
use taskseal::{Receipt, Task};
use taskseal_core::ContentType;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::attacker::AnyError;
use super::deployment::Deployment;
use super::files::File;
use super::handlers::{DIGEST, answer};
use super::head;
use super::report::Report;
use crate::runtime::spawn;
use crate::ui::Ui;

/// How long the demonstration waits for the next task to succeed.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The task of one file, with what is expected of it.
pub(super) struct FileTask {
    receipt: Receipt,
    /// SHA-256 of the body.
    digest: [u8; 32],
    answer: Vec<u8>,
}

/// Runs the job and records times and results in the report.
pub(super) async fn run(
    deployment: &Deployment,
    files: &[File],
    ui: &Ui,
    report: &mut Report,
) -> Result<Vec<FileTask>, AnyError> {
    let (events, mut succeeded) = mpsc::unbounded_channel();
    let bar = head::progress(ui, files.len(), "tasks sealed, run and answered");
    let shown = bar.clone();
    let worker = deployment.worker()?.observed_by(move |event| {
        if let Event::Succeeded { .. } = event {
            shown.inc(1);
            // Fails once all tasks have succeeded and the receiver is gone.
            let _ = events.send(());
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = spawn(&Handle::current(), async move {
        let stopped = async {
            let _ = stopped.await;
        };
        worker.run_until(stopped).await;
    });
    let started = Instant::now();
    let mut tasks = Vec::with_capacity(files.len());
    for batch in files.chunks(64) {
        tasks.extend(enqueue(deployment, batch).await?);
    }
    report.enqueue_seconds = started.elapsed().as_secs_f64();
    for _ in files {
        if tokio::time::timeout(STALL_TIMEOUT, succeeded.recv()).await.is_err() {
            break;
        }
    }
    report.total_seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    drop(stop);
    worker.await?;
    check_results(deployment, &tasks, report).await?;
    Ok(tasks)
}

async fn enqueue(deployment: &Deployment, files: &[File]) -> Result<Vec<FileTask>, AnyError> {
    let mut tasks = Vec::with_capacity(files.len());
    let mut expected = Vec::with_capacity(files.len());
    for file in files {
        let body = file.read();
        expected.push((Sha256::digest(&body).into(), answer(&body)));
        tasks.push(Task::from_bytes(DIGEST, ContentType::OCTETS, body.to_vec())?);
    }
    let receipts = deployment.client.enqueue_all(tasks).await?;
    let tasks = receipts.into_iter().zip(expected);
    Ok(tasks.map(|(receipt, (digest, answer))| FileTask { receipt, digest, answer }).collect())
}

async fn check_results(
    deployment: &Deployment,
    tasks: &[FileTask],
    report: &mut Report,
) -> Result<(), AnyError> {
    for task in tasks {
        match deployment.client.result(&task.receipt).await? {
            Some(result) if *result.body == task.answer => report.results_verified += 1,
            Some(_) => {}
            None => {
                let id = task.receipt.id.to_string();
                let found = deployment.broker.find(&deployment.queue, &id).await?;
                report.lost += usize::from(found.is_none());
            }
        }
    }
    Ok(())
}

/// Counts the runs: every task must have run once, with the sealed body, and nothing else.
pub(super) fn check_runs(deployment: &Deployment, tasks: &[FileTask], report: &mut Report) {
    let mut expected: HashMap<_, _> = tasks.iter().map(|task| (task.receipt.id, task.digest)).collect();
    for run in deployment.runs.all() {
        if expected.remove(&run.id) == Some(run.digest) {
            report.executed += 1;
        } else {
            report.forged_executed += 1;
        }
    }
}
