//! `taskseal seal`: seals one body into an envelope without enqueuing it.

use std::path::PathBuf;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use serde_json::json;
use taskseal::client::ClientError;
use taskseal::config::Config;
use taskseal::keys::{Draft, NotSealed, SealFault, SealingKey};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;
use taskseal_core::{Claims, MAX_BODY, SealError, Suite, TaskId, TaskType};

use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;
use crate::{file_arg, project, task_arg, time_arg};

/// Seal one task into an envelope, without enqueuing it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal seal --queue default --type file:digest sample.txt --out task.cose"
)]
pub(crate) struct Args {
    /// The body; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Queue that the task may run from
    #[arg(long)]
    queue: QueueName,
    /// Task type
    #[arg(long = "type", value_name = "TYPE")]
    task_type: String,
    /// Task id, an unused lower-case UUID [default: a new one]
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
    /// Id of the task in the queue, instead of its task id
    #[arg(long = "ref", value_name = "REFERENCE")]
    reference: Option<String>,
    /// Earliest time to run
    #[arg(long, value_name = "RFC3339", value_parser = time_arg::instant)]
    at: Option<UnixMillis>,
    /// Maximum number of attempts [default: from the configuration]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    attempts: Option<u16>,
    /// Time limit of one attempt [default: from the configuration]
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    timeout: Option<Duration>,
    /// How long the finished task and its result are kept [default: from the configuration]
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    retention: Option<Duration>,
    /// How long the task may be started, from its earliest time to run [default: from the configuration]
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    lifetime: Option<Duration>,
    /// Media type of the body
    #[arg(long, default_value = "application/octet-stream", value_name = "TYPE")]
    content_type: String,
    /// Sign the body and leave it out of the envelope, for a message of asynq whose payload is the body in clear
    #[arg(long)]
    detached: bool,
    /// New file for the envelope; - is standard output
    #[arg(long, default_value = "-", value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    if file_arg::is_standard(&args.out) && !ui.json() && Ui::is_terminal() {
        return Err(Failure::usage("an envelope is binary and is not printed on a terminal")
            .hint("use --out FILE, or --json"));
    }
    let task_type = task_arg::task_type(&args.task_type)?;
    let content_type = task_arg::content_type(&args.content_type)?;
    let id = task_arg::id(args.id.as_deref())?;
    let config = project::config(global)?;
    let key = project::task_key(&config, &project::keyset(&config)?)?;
    let body = file_arg::read(&args.file, MAX_BODY)?;
    let audience = config.audience(&args.queue);
    let claims = claims(&config, args, task_type, &audience, id)?;
    let draft = Draft::new(&claims, content_type, &body);
    let envelope = if args.detached { sign(&key, &draft)? } else { seal(&key, &draft)? };
    print(args, id, &key, &envelope, ui)
}

fn claims<'a>(
    config: &'a Config,
    args: &'a Args,
    task_type: TaskType<'a>,
    audience: &'a str,
    id: TaskId,
) -> Result<Claims<'a>, Failure> {
    let client = config.client().map_err(Failure::config)?;
    let now = unix_seconds(UnixMillis::now());
    let from = args.at.map(unix_seconds);
    let lifetime = args.lifetime.unwrap_or(client.lifetime);
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let mut claims = Claims::new(project::issuer(client), task_type, project::audience(audience), id)
        .issued_at(now)
        .expires_at(from.unwrap_or(now).max(now).saturating_add(lifetime.as_secs()))
        .attempts(args.attempts.unwrap_or(client.attempts))
        .retention(seconds(args.retention.unwrap_or(client.retention)));
    claims.timeout = Some(seconds(args.timeout.unwrap_or(client.timeout)));
    claims.not_before = from;
    claims.reference = args.reference.as_deref().map(task_arg::reference).transpose()?;
    Ok(claims)
}

fn unix_seconds(at: UnixMillis) -> u64 {
    u64::try_from(at.as_secs()).unwrap_or(0)
}

fn seal(key: &SealingKey, draft: &Draft<'_>) -> Result<Vec<u8>, Failure> {
    key.seal_draft(draft).map_err(|error| match error {
        NotSealed::Recipient(ref missing) => Failure::refused(error.to_string()).hint(missing.hint()),
        NotSealed::Sealing(error) => failure(&error),
        _ => Failure::new(format!("cannot seal: {error}")),
    })
}

/// Returns a detached envelope.
fn sign(key: &SealingKey, draft: &Draft<'_>) -> Result<Vec<u8>, Failure> {
    let sealed = key.seal_detached(draft).ok_or_else(|| {
        Failure::usage(ClientError::CannotSign(key.suite()).to_string())
            .hint("seal without --detached, or set another suite in [client]")
    })?;
    sealed.map_err(|error| failure(&error))
}

fn failure(error: &SealFault) -> Failure {
    match error {
        SealError::Signer(_) | SealError::InvalidSignature => Failure::unavailable(error.to_string()),
        _ => Failure::new(format!("cannot seal: {error}")),
    }
}

fn print(args: &Args, id: TaskId, key: &SealingKey, envelope: &[u8], ui: &Ui) -> Result<(), Failure> {
    let to_stdout = file_arg::is_standard(&args.out);
    if !to_stdout || !ui.json() {
        file_arg::write(&args.out, envelope, ui)?;
    }
    let suite = if args.detached { Suite::S } else { key.suite() };
    if ui.json() {
        let mut members = vec![
            ("id", json!(id.to_string())),
            ("suite", json!(suite.short_name())),
            ("kid", json!(key.kid().to_string())),
            ("bytes", json!(envelope.len())),
        ];
        if to_stdout {
            members.push(("envelope", json!(Base64::encode_string(envelope))));
        }
        return ui.object(members);
    }
    ui.note(&format!("sealed {id} with suite {suite} and key {}", key.kid()));
    Ok(())
}
