//! `taskseal seal`: one body in, one envelope out; nothing is enqueued.

use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use serde_json::json;
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;
use taskseal_core::{Claims, ContentType, MAX_BODY, SealError, TaskId, TaskType};

use super::input;
use crate::cli::Global;
use crate::keys;
use crate::ui::{Failure, Ui};

/// Seal one task into an envelope, without enqueuing it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal seal --queue default --type file:digest sample.txt --out task.cose"
)]
pub(crate) struct Args {
    /// The body; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The queue it may run from
    #[arg(long)]
    queue: QueueName,
    /// Its task type
    #[arg(long = "type", value_name = "TYPE")]
    task_type: String,
    /// Its id, a lower-case UUID that was never used before [default: a new one]
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
    /// Media type of the body
    #[arg(long, default_value = "application/octet-stream", value_name = "TYPE")]
    content_type: String,
    /// Where the envelope goes, a new file; - is standard output
    #[arg(long, default_value = "-", value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let to_stdout = args.out == Path::new("-");
    if to_stdout && !ui.json() && Ui::is_terminal() {
        return Err(Failure::usage("an envelope is not for a terminal").hint("use --out FILE, or --json"));
    }
    let task_type = TaskType::new(&args.task_type)
        .map_err(|error| Failure::usage(format!("`{}` is not a task type: {error}", args.task_type)))?;
    let content_type = ContentType::new(&args.content_type)
        .map_err(|_| Failure::usage(format!("`{}` is not a media type", args.content_type)))?;
    let id = task_id(args.id.as_deref())?;

    let config = keys::config(global)?;
    let client = config.client().map_err(Failure::config)?;
    let sealing = keys::task_key(&config, &keys::keyset(&config)?)?;
    let body = input::read(&args.file, MAX_BODY)?;

    let audience = config.audience(&args.queue);
    let now = u64::try_from(UnixMillis::now().as_secs()).unwrap_or(0);
    let seconds = |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let mut claims = Claims::new(super::issuer(client), task_type, super::audience(&audience), id)
        .issued_at(now)
        .expires_at(now.saturating_add(client.lifetime.as_secs()))
        .attempts(client.attempts)
        .retention(seconds(client.retention));
    claims.timeout = client.timeout.map(seconds);
    let envelope = sealing.seal(&claims, content_type, &body).map_err(|error| match error {
        SealError::Signer(_) | SealError::InvalidSignature => Failure::unavailable(error.to_string()),
        _ => Failure::new(format!("could not be sealed: {error}")),
    })?;

    if !to_stdout || !ui.json() {
        input::write(&args.out, &envelope, ui)?;
    }
    if ui.json() {
        let mut members = vec![
            ("id", json!(id.to_string())),
            ("suite", json!(sealing.suite().short_name())),
            ("kid", json!(sealing.kid().to_string())),
            ("bytes", json!(envelope.len())),
        ];
        if to_stdout {
            members.push(("envelope", json!(Base64::encode_string(&envelope))));
        }
        return ui.object(members);
    }
    ui.note(&format!("sealed {id} with suite {} and key {}", sealing.suite(), sealing.kid()));
    Ok(())
}

pub(super) fn task_id(given: Option<&str>) -> Result<TaskId, Failure> {
    match given {
        None => Ok(TaskId::from_bytes(*uuid::Uuid::now_v7().as_bytes())),
        Some(text) => TaskId::parse(text).ok_or_else(|| {
            Failure::usage(format!("`{text}` is not a task id")).hint("a task id is a UUID in lower case")
        }),
    }
}
