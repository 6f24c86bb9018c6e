//! `taskseal open`: verifies an envelope and prints its body for a person. It runs and records nothing.

mod hint;

use std::path::PathBuf;

use base64ct::{Base64, Encoding};
use serde_json::json;
use sha2::{Digest, Sha256};
use taskseal::config::Config;
use taskseal::keys::Keyring;
use taskseal::policy::Violation;
use taskseal::queue::QueueName;
use taskseal_core::{NameSet, OpenError, Opened, Policy, Refusal, Unverified};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::global::Global;
use crate::output::json::{self, Member};
use crate::output::text;
use crate::ui::Ui;
use crate::{envelope_fault, file_arg, project};

/// Verify one envelope and print its body
///
/// Policy and keys come from the configuration. Whether the task has run before is not checked: the output is for a
/// person to read, not for a program to run. Exits with 3 if the envelope is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal open --queue default task.cose")]
pub(crate) struct Args {
    /// The envelope; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Queue that the envelope was taken from
    #[arg(long)]
    queue: QueueName,
    /// Open a result: the envelope of the task that it must answer
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Accept a task that was sealed in a batch, even if the configuration does not
    #[arg(long, conflicts_with = "request")]
    batches: bool,
    /// New file for the body; - is standard output
    #[arg(long, default_value = "-", value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = project::config(global)?;
    let keyring = project::keyring(&config)?;
    let bytes = file_arg::read(&args.file, file_arg::MAX_ENVELOPE)?;
    let audience = config.audience(&args.queue);
    let policy = policy(args, &config, &audience, &bytes)?;
    let mut buffer = Zeroizing::new(Vec::new());
    let opened =
        open(&bytes, &keyring, &policy, &mut buffer).map_err(|error| failure(error, &bytes, &keyring, ui))?;
    if args.request.is_none() {
        let (claims, kid) = (opened.claims(), opened.verified().kid());
        let checked = config.policy_set().check(claims, kid, &args.queue, taskseal::time::unix_seconds());
        checked.map_err(|violation| not_accepted(&violation, &bytes, ui))?;
    }
    print(&opened, args, ui)
}

fn policy<'a>(
    args: &Args,
    config: &'a Config,
    audience: &'a str,
    bytes: &[u8],
) -> Result<Policy<'a>, Failure> {
    let audience = project::audience(audience);
    let mut policy = match &args.request {
        None => {
            let envelope = Unverified::parse(bytes).ok();
            let task_type = envelope.map(|envelope| envelope.danger_claims_unverified().task_type.as_str());
            config.policy_set().for_task(task_type.unwrap_or_default(), audience, NameSet::ANY)
        }
        Some(file) => {
            let request = file_arg::read(file, file_arg::MAX_ENVELOPE)?;
            config.policy.for_results(audience, Sha256::digest(request.as_slice()).into())
        }
    };
    policy.accept_batches |= args.batches;
    Ok(policy)
}

fn open<'a, 'b>(
    bytes: &'a [u8],
    keyring: &Keyring,
    policy: &Policy<'_>,
    buffer: &'b mut Zeroizing<Vec<u8>>,
) -> Result<Opened<'a, 'b>, OpenError> {
    let verified = Unverified::parse(bytes)?.verify(keyring, policy, &mut taskseal::time::clock())?;
    buffer.resize(verified.body_len(), 0);
    let mut keys = keyring.opening();
    let opened = verified.danger_open_without_replay_guard(&mut keys, buffer);
    opened.map_err(|error| keys.verdict(error))
}

fn print(opened: &Opened<'_, '_>, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let to_stdout = file_arg::is_standard(&args.out);
    let body = opened.body();
    if !to_stdout {
        file_arg::write(&args.out, body, ui)?;
    }
    if ui.json() {
        return ui.object(members(opened, to_stdout.then_some(body)));
    }
    let claims = opened.claims();
    ui.note(&format!("verified: {} {} from {}", claims.task_type, claims.task_id, claims.issuer));
    if to_stdout { text::print_body(body, ui) } else { Ok(()) }
}

fn members(opened: &Opened<'_, '_>, body: Option<&[u8]>) -> Vec<Member> {
    let mut members = vec![
        ("verified", json!(true)),
        ("suite", json!(opened.verified().suite().short_name())),
        ("batched", json!(opened.verified().is_batched())),
        ("kid", json!(opened.verified().kid().to_string())),
        ("content_type", json!(opened.content_type().as_str())),
    ];
    members.extend(json::claims(opened.claims()));
    members.extend(body.map(|body| ("body", json!(Base64::encode_string(body)))));
    members
}

/// Returns the failure with a hint, and with `--json` prints the refusal on standard output as well.
fn failure(error: OpenError, bytes: &[u8], keyring: &Keyring, ui: &Ui) -> Failure {
    let refusal = match error {
        OpenError::Refused(refusal) => refusal,
        OpenError::KeyUnavailable => return Failure::unavailable(error.to_string()),
        _ => return Failure::new(error.to_string()),
    };
    let envelope = Unverified::parse(bytes).ok();
    if ui.json()
        && let Err(failure) = ui.object(refusal_members(refusal, envelope))
    {
        return failure;
    }
    let failure = Failure::refused(format!("refused: {}", envelope_fault::describe(refusal, bytes)));
    match hint::hint(refusal, envelope, keyring) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Returns the failure for a task that the rule of its type does not accept.
fn not_accepted(violation: &Violation, bytes: &[u8], ui: &Ui) -> Failure {
    if ui.json()
        && let Err(failure) = ui.object(refusal_members(violation.refusal, Unverified::parse(bytes).ok()))
    {
        return failure;
    }
    let code = violation.refusal.code();
    Failure::refused(format!("refused: {} ({code}): {violation}", violation.refusal))
        .hint("the rules are in the file that `file` in [policy] names")
}

fn refusal_members(refusal: Refusal, envelope: Option<Unverified<'_>>) -> Vec<Member> {
    let mut members = vec![("refused", json!(refusal.code())), ("reason", json!(refusal.to_string()))];
    members.extend(envelope.map(|envelope| ("kid", json!(envelope.kid().to_string()))));
    let recipient = envelope.and_then(|envelope| envelope.recipient_kid());
    members.extend(recipient.map(|kid| ("recipient", json!(kid.to_string()))));
    members
}
