//! `taskseal demo`: the main job on real files, then an intruder with full write access to the queue.

mod attacks;
mod files;
mod fleet;
mod intruder;
mod keys;
mod private_token;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest, Sha256};
use taskseal::client::ClientError;
use taskseal::worker::Event;
use taskseal::{Receipt, Task};
use taskseal_core::{ContentType, OpenError, Refusal};
use tokio::sync::{mpsc, oneshot};

use self::attacks::{ATTACKS, Attack, LOOT, Planted, Stage};
use self::files::{File, Files};
use self::fleet::{DEPLOYMENT, DIGEST, FAIL, Fleet, PRODUCER, answer};
use self::intruder::{Intruder, Mishap};
use self::report::{Attempt, Report, TokenUse};
use crate::ui::{Failure, Ui};

/// Seal real files as tasks, run them, then attack the queue
///
/// Every file below the input folder (ignore files honoured) becomes a sealed task. A worker verifies, runs and seals
/// the results, which are checked against a direct computation. Then an intruder with full write access to the queue
/// forges, tampers, replays, redirects and strips. Everything happens in a temporary folder, or, on Redis, in queues of
/// its own that are removed afterwards. Exit code 1 if a forged task ran or a good one was lost.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal demo --input src --json")]
pub(crate) struct Args {
    /// Use the Redis at this URL instead of the embedded queue
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Keep the keys of the deployment in a token: a private one of SoftHSM, made for this
    #[arg(long)]
    hsm: bool,
    /// Folder of the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    input: PathBuf,
}

/// How long nothing may happen before the demonstration gives up.
const STALLED: Duration = Duration::from_secs(60);

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let token = match args.hsm {
        false => None,
        true => match private_token::enter()? {
            private_token::Entered::Here(uri) => Some(uri),
            private_token::Entered::Ran(result) => return result,
        },
    };
    let files = files::collect(&args.input);
    if files.files.is_empty() {
        return Err(Failure::usage(format!("no readable file below {}", args.input.display()))
            .hint("name a folder with files: --input DIR"));
    }
    let folder =
        tempfile::tempdir().map_err(|error| Failure::new(format!("no temporary folder: {error}")))?;
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| Failure::new(format!("no threads: {error}")))?;
    let mut report = runtime.block_on(async {
        let fleet =
            Fleet::new(folder.path(), args.broker.as_deref(), token.as_ref()).await.map_err(|error| {
                let failure = Failure::unavailable(format!("the demonstration cannot be set up: {error}"));
                failure.hint("with --broker: is there a Redis at that URL?")
            })?;
        let report = demonstrate(&fleet, &files, ui).await;
        let cleared = fleet.clear().await;
        report.and_then(|report| cleared.map(|()| report)).map_err(|error| Failure::new(error.to_string()))
    })?;
    report.token = token.is_some().then(|| {
        let health = taskseal::keys::pkcs11::health();
        TokenUse {
            signatures: health.iter().map(|(_, health)| health.signing.count).sum(),
            agreements: health.iter().map(|(_, health)| health.agreements).sum(),
        }
    });
    report.print(ui)?;
    if report.is_good() { Ok(()) } else { Err(Failure::new("the demonstration failed: see the report")) }
}

async fn demonstrate(fleet: &Fleet, files: &Files, ui: &Ui) -> Result<Report, Mishap> {
    let mut report = Report::new(files);
    let work = main_job(fleet, &files.files, ui, &mut report).await?;
    let before = fleet.runs().len();
    check_runs(fleet, &work, &mut report);
    attack(fleet, ui, &mut report).await?;
    report.quarantined = fleet.quarantined()?;
    report.forged_executed += fleet.runs().len().saturating_sub(before + report.staged);
    Ok(report)
}

/// One file on its way: what came back must be the answer for this digest.
struct Work {
    receipt: Receipt,
    digest: [u8; 32],
    answer: Vec<u8>,
}

/// Seals and enqueues every file while a worker runs them, then checks every result.
async fn main_job(fleet: &Fleet, files: &[File], ui: &Ui, report: &mut Report) -> Result<Vec<Work>, Mishap> {
    let (events, mut succeeded) = mpsc::unbounded_channel();
    let worker = fleet.worker()?.observed_by(move |event| {
        if let Event::Succeeded { .. } = event {
            // Nobody listens any more once all have succeeded.
            let _ = events.send(());
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run_until(async {
        let _ = stopped.await;
    }));

    let started = Instant::now();
    let bar = progress(ui, files.len());
    let mut work = Vec::with_capacity(files.len());
    for batch in files.chunks(64) {
        work.extend(enqueue(fleet, batch).await?);
    }
    report.enqueue_seconds = started.elapsed().as_secs_f64();
    for _ in files {
        if tokio::time::timeout(STALLED, succeeded.recv()).await.is_err() {
            break;
        }
        bar.inc(1);
    }
    report.total_seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    drop(stop);
    worker.await?;

    for work in &work {
        match fleet.client.result(&work.receipt).await? {
            Some(result) if *result.body == work.answer => report.results_verified += 1,
            Some(_) => {}
            None => {
                let found = fleet.broker.find(&fleet.queue, &work.receipt.id.to_string()).await?;
                report.lost += usize::from(found.is_none());
            }
        }
    }
    Ok(work)
}

async fn enqueue(fleet: &Fleet, files: &[File]) -> Result<Vec<Work>, Mishap> {
    let mut tasks = Vec::with_capacity(files.len());
    let mut expected = Vec::with_capacity(files.len());
    for file in files {
        let body = file.read();
        expected.push((Sha256::digest(&body).into(), answer(&body)));
        tasks.push(Task::from_bytes(DIGEST, ContentType::OCTETS, body.to_vec())?);
    }
    let receipts = fleet.client.enqueue_all(tasks).await?;
    let work = receipts.into_iter().zip(expected);
    Ok(work.map(|(receipt, (digest, answer))| Work { receipt, digest, answer }).collect())
}

/// Counts what ran: every task once, with the body that was sealed, and nothing else.
fn check_runs(fleet: &Fleet, work: &[Work], report: &mut Report) {
    let mut expected: BTreeMap<_, _> = work.iter().map(|work| (work.receipt.id, work.digest)).collect();
    for run in fleet.runs() {
        if expected.remove(&run.id) == Some(run.digest) {
            report.executed += 1;
        } else {
            report.forged_executed += 1;
        }
    }
}

fn progress(ui: &Ui, len: usize) -> ProgressBar {
    let target = if ui.quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(len as u64), target);
    let style = ProgressStyle::with_template("taskseal: {pos}/{len} tasks {wide_bar} {elapsed}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Lets the intruder try everything, one attack after the other, and a worker meet what it left behind.
async fn attack(fleet: &Fleet, ui: &Ui, report: &mut Report) -> Result<(), Mishap> {
    let victims = stage_victims(fleet, report).await?;
    let keys = &fleet.keys;
    let stage = Stage {
        intruder: Intruder { broker: &*fleet.broker, storage: &*fleet.storage },
        client: &fleet.client,
        deployment: DEPLOYMENT.to_owned(),
        issuer: PRODUCER.to_owned(),
        queue: fleet.queue.clone(),
        other_queue: fleet.other_queue.clone(),
        worker_key: keys.worker,
        producer: keys.producer,
        outsider: &keys.outsider,
        insider: &keys.insider,
        honest: &fleet.honest,
    };
    let bar = progress(ui, ATTACKS.len());
    for (attack, victim) in ATTACKS.iter().zip(&victims) {
        let stopped_by = match attack.run(&stage, victim).await? {
            Planted::Task(id) => meet(fleet, &id).await?,
            Planted::Read(Err(ClientError::Result(OpenError::Refused(refusal)))) => Some(refusal),
            Planted::Read(_) => None,
        };
        report.attempts.push(Attempt { attack: *attack, stopped_by });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Finished tasks for the intruder to copy, one an attack, and one whose attempts are used up.
async fn stage_victims(fleet: &Fleet, report: &mut Report) -> Result<Vec<Receipt>, Mishap> {
    let victim = |_: &Attack| Task::from_bytes(DIGEST, ContentType::OCTETS, LOOT.to_vec());
    let victims: Vec<Task> = ATTACKS.iter().map(victim).collect::<Result<_, _>>()?;
    let receipts = fleet.client.enqueue_all(victims).await?;
    let failing = Task::from_bytes(FAIL, ContentType::OCTETS, LOOT.to_vec())?.attempts(1);
    let failed = fleet.client.enqueue(failing).await?;
    fleet.worker()?.run_once().await;

    let staged: BTreeSet<_> = receipts.iter().chain([&failed]).map(|receipt| receipt.id).collect();
    report.staged = staged.len();
    let mut once = staged.clone();
    let ran = fleet.runs().iter().filter(|run| once.remove(&run.id)).count();
    if ran == staged.len() { Ok(receipts) } else { Err("a good task did not run before the attack".into()) }
}

/// Lets a worker meet a planted task; the refusal, if it refused and kept it.
async fn meet(fleet: &Fleet, planted: &str) -> Result<Option<Refusal>, Mishap> {
    let refusals = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&refusals);
    let worker = fleet.worker()?.observed_by(move |event| {
        if let Event::Refused { id, refusal, quarantined: true, .. } = event {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((id.clone(), *refusal));
        }
    });
    worker.run_once().await;
    let refusals = refusals.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(refusals.iter().find(|(id, _)| id == planted).map(|(_, refusal)| *refusal))
}
