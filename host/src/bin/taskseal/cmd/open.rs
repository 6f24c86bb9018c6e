//! `taskseal open`: verify an envelope and show its body to a person. Nothing is run and nothing remembered.

use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use serde_json::json;
use sha2::{Digest, Sha256};
use taskseal::keyring::{self, Keyring};
use taskseal::queue::QueueName;
use taskseal_core::{KeyId, OpenError, Opened, Policy, Refusal, Unverified};
use zeroize::Zeroizing;

use super::{input, show};
use crate::cli::Global;
use crate::keys;
use crate::ui::{Failure, Ui};

/// Verify one envelope and print its body
///
/// Policy and keys come from the configuration. Whether the task has run before is not looked at: this is for a
/// person to read, not for a program to run. Exits with 3 if the envelope is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal open --queue default task.cose")]
pub(crate) struct Args {
    /// The envelope; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The queue it was taken from
    #[arg(long)]
    queue: QueueName,
    /// Open a result: the envelope of the task that it must answer
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Accept a task that was sealed in a batch, whatever the configuration says
    #[arg(long, conflicts_with = "request")]
    batches: bool,
    /// Where the body goes, a new file; - is standard output
    #[arg(long, default_value = "-", value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = keys::config(global)?;
    let keyring = keys::keyring(&config)?;
    let bytes = input::read(&args.file, input::MAX_ENVELOPE)?;
    let audience = config.audience(&args.queue);
    let audience = super::audience(&audience);
    let mut policy = match &args.request {
        None => config.policy.for_tasks(audience),
        Some(file) => {
            let request = input::read(file, input::MAX_ENVELOPE)?;
            config.policy.for_result(audience, Sha256::digest(request.as_slice()).into())
        }
    };
    policy.accept_batches |= args.batches;
    let mut buffer = Zeroizing::new(Vec::new());
    let opened =
        open(&bytes, &keyring, &policy, &mut buffer).map_err(|error| refused(error, &bytes, &keyring, ui))?;
    show(&opened, args, ui)
}

fn open<'a, 'b>(
    bytes: &'a [u8],
    keyring: &Keyring,
    policy: &Policy<'_>,
    buffer: &'b mut Zeroizing<Vec<u8>>,
) -> Result<Opened<'a, 'b>, OpenError> {
    let verified = Unverified::parse(bytes)?.verify(keyring, policy, &mut keyring::clock())?;
    buffer.resize(verified.body_len(), 0);
    let mut keys = keyring.opening();
    let opened = verified.danger_open_without_replay_guard(&mut keys, buffer);
    opened.map_err(|error| keys.verdict(error))
}

fn show(opened: &Opened<'_, '_>, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let to_stdout = args.out == Path::new("-");
    let body = opened.body();
    if !to_stdout {
        input::write(&args.out, body, ui)?;
    }
    if ui.json() {
        let mut members = vec![
            ("verified", json!(true)),
            ("suite", json!(opened.verified().suite().short_name())),
            ("batched", json!(opened.verified().is_batched())),
            ("kid", json!(opened.verified().kid().to_string())),
            ("content_type", json!(opened.content_type().as_str())),
        ];
        members.extend(show::members(opened.claims()));
        if to_stdout {
            members.push(("body", json!(Base64::encode_string(body))));
        }
        return ui.object(members);
    }
    let claims = opened.claims();
    ui.note(&format!("verified: {} {} from {}", claims.task_type, claims.task_id, claims.issuer));
    if to_stdout { show::body(body, ui) } else { Ok(()) }
}

/// Says why, and what to do; with `--json` on standard output as well.
fn refused(error: OpenError, bytes: &[u8], keyring: &Keyring, ui: &Ui) -> Failure {
    let refusal = match error {
        OpenError::Refused(refusal) => refusal,
        OpenError::KeyUnavailable => return Failure::unavailable(error.to_string()),
        _ => return Failure::new(error.to_string()),
    };
    let envelope = Unverified::parse(bytes).ok();
    let kid = envelope.map(|envelope| envelope.kid());
    let recipient = envelope.and_then(|envelope| envelope.recipient_kid());
    if ui.json() {
        let mut members = vec![("refused", json!(refusal.code())), ("reason", json!(refusal.to_string()))];
        members.extend(kid.map(|kid| ("kid", json!(kid.to_string()))));
        members.extend(recipient.map(|kid| ("recipient", json!(kid.to_string()))));
        if let Err(failure) = ui.object(members) {
            return failure;
        }
    }
    let failure = Failure::refused(format!("refused: {refusal} ({})", refusal.code()));
    match hint(refusal, envelope, keyring) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn hint(refusal: Refusal, envelope: Option<Unverified<'_>>, keyring: &Keyring) -> Option<String> {
    let kid = envelope.map(|envelope| envelope.kid());
    let recipient = envelope.and_then(|envelope| envelope.recipient_kid());
    let kids = |kids: Vec<KeyId>| {
        let known: Vec<_> = kids.iter().map(ToString::to_string).collect();
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    };
    let file = keyring.file().display();
    Some(match refusal {
        Refusal::UnknownKey => {
            format!("it names key {}; {file} has {}", kid?, kids(keyring.known_kids().collect()))
        }
        Refusal::NoDecryptionKey => {
            format!("it is encrypted to key {}; held here: {}", recipient?, kids(keyring.decryption_kids()))
        }
        Refusal::WrongAudience | Refusal::AudienceNotAllowed => {
            "name the queue that it was taken from with --queue; `taskseal inspect` shows what it claims"
                .to_owned()
        }
        Refusal::WrongKind => "a result is opened with --request and the envelope of its task".to_owned(),
        Refusal::WrongRequest => "--request must name the very envelope that was sent".to_owned(),
        Refusal::SuiteNotAllowed if envelope.is_some_and(|envelope| envelope.is_batched()) => {
            "it may be the batch it was sealed in: [worker] batches, or --batches here; else [policy] suites"
                .to_owned()
        }
        Refusal::SuiteNotAllowed => {
            "the policy decides which suites are accepted: [policy] suites".to_owned()
        }
        Refusal::KeyNotValid | Refusal::IssuerNotAllowed | Refusal::TypeNotAllowed => {
            format!("see the entry of key {} in {file}", kid?)
        }
        Refusal::Unsealed | Refusal::Malformed => "`taskseal inspect` reads envelopes only".to_owned(),
        Refusal::TooLarge => "the policy decides how long a body may be: [policy] max_body".to_owned(),
        Refusal::LifetimeTooLong => {
            "the policy decides how long a task may live: [policy] max_lifetime".to_owned()
        }
        Refusal::IssuedInFuture | Refusal::NotYetValid => {
            "compare the clocks of this host and the issuer's".to_owned()
        }
        _ => return None,
    })
}
