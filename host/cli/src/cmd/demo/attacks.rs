//! The attacks, and the refusal that must stop each of them.

mod context;
mod forgery;
mod replay;
mod tampering;

use std::pin::Pin;

use taskseal::Receipt;
use taskseal::broker::TaskRecord;
use taskseal::client::ClientError;
use taskseal_core::Refusal;

pub(super) use self::context::{Context, FORGED_BODY};
use super::attacker::AnyError;

/// One kind of attack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The refusal that must stop it.
    pub(super) expected: Refusal,
    method: Method,
}

#[derive(Clone, Copy, Debug)]
enum Method {
    /// Enqueue an envelope.
    Forge(Forge),
    /// Change a task that an honest client has just enqueued.
    Tamper(Tamper),
    /// Move, repeat or replace what is stored.
    Act(Act),
}

type Forge = fn(&Context<'_>) -> Result<Vec<u8>, AnyError>;
type Tamper = fn(&mut TaskRecord) -> Result<(), AnyError>;
type Act =
    for<'a> fn(&'a Context<'a>, &'a Receipt) -> Pin<Box<dyn Future<Output = Result<Outcome, AnyError>> + 'a>>;

/// What an attack did.
pub(super) enum Outcome {
    /// Enqueued a task, which a worker finds under this id.
    Enqueued(String),
    /// Replaced a result, with the answer of the client that read it.
    Read(Result<(), ClientError>),
}

impl Attack {
    /// Carries out the attack against one finished task.
    pub(super) async fn run(self, context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
        match self.method {
            Method::Forge(seal) => context.enqueue(&context.queue, seal(context)?).await,
            Method::Tamper(change) => {
                let mut record = context.fresh_task("file:digest").await?;
                change(&mut record)?;
                context.replace(&context.queue, record).await
            }
            Method::Act(act) => act(context, victim).await,
        }
    }
}

/// An async function in the form of an [`Act`].
macro_rules! boxed {
    ($act:path) => {
        |context, victim| Box::pin($act(context, victim))
    };
}

/// Every attack, in the order of the report.
#[rustfmt::skip]
pub(super) const ATTACKS: &[Attack] = &[
    act("forge-unsealed", "enqueue a task that was never sealed", Refusal::Unsealed, boxed!(forgery::forge_unsealed)),
    tamper("strip-seal", "replace a sealed payload with a plain one", Refusal::Unsealed, tampering::strip_seal),
    act("garble-message", "make the stored message undecodable", Refusal::Malformed, boxed!(tampering::garble_message)),
    tamper("truncate-envelope", "cut the last byte off an envelope", Refusal::Malformed, tampering::truncate_envelope),
    tamper("respell-envelope", "encode an authentic envelope in another valid CBOR form", Refusal::Malformed, tampering::respell_envelope),
    act("result-as-task", "enqueue the sealed result of a worker as a task", Refusal::WrongKind, boxed!(replay::result_as_task)),
    forge("downgrade-suite", "forge a task that is signed but not encrypted", Refusal::SuiteNotAllowed, forgery::downgrade_suite),
    forge("forge-own-key", "seal a task with a key outside the keyset", Refusal::UnknownKey, forgery::forge_own_key),
    forge("forge-known-kid", "sign with another key under the producer's kid", Refusal::Rejected, forgery::forge_known_kid),
    tamper("flip-ciphertext", "flip one bit of an encrypted body", Refusal::Rejected, tampering::flip_ciphertext),
    tamper("flip-claims", "change the sealed task type in place", Refusal::Rejected, tampering::flip_claims),
    forge("impersonate", "seal as another issuer with a stolen device key", Refusal::IssuerNotAllowed, forgery::impersonate),
    forge("overreach", "seal a forbidden task type with a stolen device key", Refusal::TypeNotAllowed, forgery::overreach),
    act("redirect-queue", "move an authentic task to another queue", Refusal::WrongAudience, boxed!(replay::redirect_queue)),
    forge("cross-deployment", "enqueue a task of the staging deployment", Refusal::WrongAudience, forgery::cross_deployment),
    forge("hold-back", "hold a task back until it has expired", Refusal::Expired, forgery::hold_back),
    act("pull-forward", "make a task pending before its time", Refusal::NotYetValid, boxed!(replay::pull_forward)),
    tamper("retype-metadata", "change the task type outside the envelope", Refusal::MetadataMismatch, tampering::retype_metadata),
    act("swap-payloads", "swap the sealed payloads of two tasks", Refusal::MetadataMismatch, boxed!(tampering::swap_payloads)),
    act("replay-new-id", "enqueue a copy of a finished task under a new id", Refusal::MetadataMismatch, boxed!(replay::replay_new_id)),
    act("replay", "enqueue a copy of a finished task", Refusal::Replayed, boxed!(replay::replay)),
    act("reset-attempts", "reset the counter of a task without attempts left", Refusal::AttemptsExhausted, boxed!(replay::reset_attempts)),
    act("forge-result", "replace the result of a task with an unsealed one", Refusal::Unsealed, boxed!(replay::forge_result)),
    act("swap-results", "replace the result of a task with that of another", Refusal::WrongRequest, boxed!(replay::swap_results)),
];

const fn forge(name: &'static str, about: &'static str, expected: Refusal, seal: Forge) -> Attack {
    Attack { name, about, expected, method: Method::Forge(seal) }
}

const fn tamper(name: &'static str, about: &'static str, expected: Refusal, change: Tamper) -> Attack {
    Attack { name, about, expected, method: Method::Tamper(change) }
}

const fn act(name: &'static str, about: &'static str, expected: Refusal, act: Act) -> Attack {
    Attack { name, about, expected, method: Method::Act(act) }
}
