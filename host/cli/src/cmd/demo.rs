//! `taskseal demo`: runs tasks on real files, then attacks the queue with full write access.

mod attacker;
mod attacks;
mod configuration;
mod deployment;
mod files;
mod folder;
mod handlers;
mod head;
mod job;
mod keys;
mod mismatch;
mod private_token;
mod queue;
mod report;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use taskseal::client::ClientError;
use taskseal::config::PasswordSource;
use taskseal::worker::Event;
use taskseal::{Receipt, Task};
use taskseal_core::{ContentType, OpenError, Refusal};
use taskseal_hsm::TokenUri;

use self::attacker::{AnyError, Attacker};
use self::attacks::{ATTACKS, Attack, Context, FORGED_BODY, Outcome};
use self::deployment::{DEPLOYMENT, Deployment, PRODUCER};
use self::files::Files;
use self::folder::Folder;
use self::handlers::{DIGEST, FAIL};
use self::private_token::Process;
use self::queue::Location;
use self::report::{Attempt, Report, TokenUse};
use crate::failure::Failure;
use crate::runtime;
use crate::ui::Ui;

/// Seal real files as tasks, run them, then attack the queue
///
/// Every file below the input folder, except hidden ones and caches, becomes a sealed task. A worker verifies and runs the
/// tasks and seals the results, which are compared with a direct computation. Then an attacker with full write access to the
/// queue forges, tampers, replays, redirects and strips. Everything happens in a temporary folder, or on Redis in queues
/// that are removed afterwards. Exits with 1 if a forged task ran or an input task was lost.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  taskseal demo --input src --json\n  taskseal demo --keep attacked && cd attacked && taskseal quarantine ls"
)]
pub(crate) struct Args {
    /// Use the Redis at this URL instead of the embedded queue
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Read the password of Redis from this file, which only its owner may read
    #[arg(long, value_name = "FILE", requires = "broker")]
    password_file: Option<PathBuf>,
    /// Read the password of Redis from this environment variable
    #[arg(long, value_name = "NAME", requires = "broker", conflicts_with = "password_file")]
    password_env: Option<String>,
    /// Keep the keys of the deployment in a token: a private one of SoftHSM, created for the demonstration
    #[arg(long)]
    hsm: bool,
    /// Folder of the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    input: PathBuf,
    /// Keep keys, queue, ledger and quarantine in this folder, which must be empty or not exist
    #[arg(long, value_name = "DIR", conflicts_with = "hsm")]
    keep: Option<PathBuf>,
}

impl Args {
    fn location(&self) -> Result<Location, AnyError> {
        let file = self.password_file.clone().map(PasswordSource::File);
        let password = file.or_else(|| self.password_env.clone().map(PasswordSource::Environment));
        Location::new(self.broker.as_deref(), password.as_ref())
    }
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let started = Instant::now();
    let token = match args.hsm {
        false => None,
        true => match private_token::enter()? {
            Process::Child(uri) => Some(uri),
            Process::Parent(result) => return result,
        },
    };
    let files = files::collect(&args.input);
    if files.files.is_empty() {
        return Err(Failure::usage(format!("no readable file below {}", args.input.display()))
            .hint("name a folder with files: --input DIR"));
    }
    let location = args.location().map_err(|error| Failure::unavailable(error.to_string()))?;
    let folder = Folder::create(args.keep.as_deref())?;
    if !ui.json() {
        ui.text(&head::text(&location, token.is_some(), &args.input, files.files.len()))?;
    }
    let parts = Parts { location, folder, token, files };
    let mut report = runtime::block_on(&runtime::start()?, demonstrate(&parts, ui))?;
    report.token = parts.token.is_some().then(token_use);
    report.took = started.elapsed();
    report.print(ui, parts.folder.kept())?;
    if report.succeeded() { Ok(()) } else { Err(Failure::new("the demonstration failed: see the report")) }
}

/// What the demonstration works with.
struct Parts {
    location: Location,
    folder: Folder,
    token: Option<TokenUri>,
    files: Files,
}

fn token_use() -> TokenUse {
    let health = taskseal::keys::pkcs11::health();
    TokenUse {
        signatures: health.iter().map(|(_, health)| health.signing.count).sum(),
        agreements: health.iter().map(|(_, health)| health.agreements).sum(),
    }
}

async fn demonstrate(parts: &Parts, ui: &Ui) -> Result<Report, Failure> {
    let deployment = set_up(parts).await.map_err(|error| {
        let failure = Failure::unavailable(format!("cannot set up the demonstration: {error}"));
        match parts.location {
            Location::Embedded => failure,
            Location::Redis { .. } => failure.hint(
                "check that a Redis server runs at the URL of --broker; give its password by --password-file or --password-env",
            ),
        }
    })?;
    let report = run_job_and_attacks(&deployment, &parts.files, ui).await;
    let cleared = deployment.clear();
    report.and_then(|report| cleared.map(|()| report)).map_err(|error| Failure::new(error.to_string()))
}

async fn set_up(parts: &Parts) -> Result<Deployment, AnyError> {
    let dir = parts.folder.path();
    let broker = parts.location.broker(dir)?;
    // The first call fails if there is no Redis server.
    broker.ping().await?;
    Deployment::new(dir, &parts.location, broker, parts.token.as_ref())
}

async fn run_job_and_attacks(deployment: &Deployment, files: &Files, ui: &Ui) -> Result<Report, AnyError> {
    let mut report = Report::new(files);
    let tasks = job::run(deployment, &files.files, ui, &mut report).await?;
    let before = deployment.runs.all().len();
    job::check_runs(deployment, &tasks, &mut report);
    attack(deployment, ui, &mut report).await?;
    report.quarantined = deployment.quarantined()?;
    report.forged_executed += deployment.runs.all().len().saturating_sub(before + report.prepared);
    Ok(report)
}

/// Carries out the attacks one after the other, each followed by a worker or client that meets its result.
async fn attack(deployment: &Deployment, ui: &Ui, report: &mut Report) -> Result<(), AnyError> {
    let victims = prepare_victims(deployment, report).await?;
    let context = context(deployment);
    let bar = head::progress(ui, ATTACKS.len(), "attacks");
    for (attack, victim) in ATTACKS.iter().zip(&victims) {
        let mut differing = Vec::new();
        let stopped_by = match attack.run(&context, victim).await? {
            Outcome::Enqueued(id) => {
                let refusal = refusal_by_worker(deployment, &id).await?;
                if refusal == Some(Refusal::MetadataMismatch) {
                    differing = mismatch::words(deployment, &id).await?;
                }
                refusal
            }
            Outcome::Read(Err(ClientError::Result(OpenError::Refused(refusal)))) => Some(refusal),
            Outcome::Read(_) => None,
        };
        report.attempts.push(Attempt { attack: *attack, stopped_by, differing });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Returns what the attacks work with.
fn context(deployment: &Deployment) -> Context<'_> {
    let keys = &deployment.known;
    Context {
        attacker: Attacker { broker: &*deployment.broker, storage: &*deployment.storage },
        client: &deployment.client,
        deployment: DEPLOYMENT.to_owned(),
        issuer: PRODUCER.to_owned(),
        queue: deployment.queue.clone(),
        other_queue: deployment.other_queue.clone(),
        worker_key: keys.worker,
        producer: keys.producer,
        outsider: &keys.outsider,
        insider: &keys.insider,
        honest: &deployment.honest,
    }
}

/// Runs one task for each attack to copy, and one that fails until it has no attempts left.
async fn prepare_victims(deployment: &Deployment, report: &mut Report) -> Result<Vec<Receipt>, AnyError> {
    let victim = |_: &Attack| Task::from_bytes(DIGEST, ContentType::OCTETS, FORGED_BODY.to_vec());
    let victims: Vec<Task> = ATTACKS.iter().map(victim).collect::<Result<_, _>>()?;
    let receipts = deployment.client.enqueue_all(victims).await?;
    let failing = Task::from_bytes(FAIL, ContentType::OCTETS, FORGED_BODY.to_vec())?.attempts(1);
    let failed = deployment.client.enqueue(failing).await?;
    deployment.worker()?.run_once().await;

    report.prepared = receipts.len() + 1;
    let runs = deployment.runs.all();
    let ran = |receipt: &Receipt| runs.iter().any(|run| run.id == receipt.id);
    if receipts.iter().all(ran) && ran(&failed) {
        Ok(receipts)
    } else {
        Err("a task did not run before the attacks".into())
    }
}

/// Runs a worker and returns its refusal of the task, if it kept the task.
async fn refusal_by_worker(deployment: &Deployment, task: &str) -> Result<Option<Refusal>, AnyError> {
    let refusals = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&refusals);
    let worker = deployment.worker()?.observed_by(move |event| {
        // A task of an unknown key is not kept in quarantine before the times in its envelope have passed.
        if let Event::Refused { id, refusal, quarantined: true, .. }
        | Event::Postponed { id, refusal: refusal @ Refusal::UnknownKey, .. } = event
        {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((id.clone(), *refusal));
        }
    });
    worker.run_once().await;
    let refusals = refusals.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(refusals.iter().find(|(id, _)| id == task).map(|(_, refusal)| *refusal))
}
