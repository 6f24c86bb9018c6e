//! The attacks, and the refusal that must stop each of them.

mod context;
mod forgery;
mod replay;
mod tampering;

use taskseal::Receipt;
use taskseal::client::ClientError;
use taskseal_core::Refusal;

pub(super) use self::context::{Context, FORGED_BODY};
use super::attacker::AnyError;

/// One kind of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The refusal that must stop it.
    pub(super) expected: Refusal,
}

/// What an attack did.
pub(super) enum Outcome {
    /// Enqueued a task, which a worker finds under this id.
    Enqueued(String),
    /// Replaced a result, with the answer of the client that read it.
    Read(Result<(), ClientError>),
}

macro_rules! attacks {
    ($($name:literal, $about:literal => $expected:ident, $run:path;)*) => {
        /// Every attack, in the order of the report.
        pub(super) const ATTACKS: &[Attack] =
            &[$(Attack { name: $name, about: $about, expected: Refusal::$expected }),*];

        impl Attack {
            /// Carries out the attack against one finished task.
            pub(super) async fn run(self, context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
                match self.name {
                    $($name => $run(context, victim).await,)*
                    _ => Err("unknown attack".into()),
                }
            }
        }
    };
}

attacks! {
    "forge-unsealed", "enqueue a task that was never sealed" => Unsealed, forgery::forge_unsealed;
    "strip-seal", "replace a sealed payload with a plain one" => Unsealed, tampering::strip_seal;
    "garble-message", "make the stored message undecodable" => Malformed, tampering::garble_message;
    "truncate-envelope", "cut the last byte off an envelope" => Malformed, tampering::truncate_envelope;
    "respell-envelope", "encode an authentic envelope in another valid CBOR form" => Malformed, tampering::respell_envelope;
    "result-as-task", "enqueue the sealed result of a worker as a task" => WrongKind, replay::result_as_task;
    "downgrade-suite", "forge a task that is signed but not encrypted" => SuiteNotAllowed, forgery::downgrade_suite;
    "forge-own-key", "seal a task with a key outside the keyset" => UnknownKey, forgery::forge_own_key;
    "forge-known-kid", "sign with another key under the producer's kid" => Rejected, forgery::forge_known_kid;
    "flip-ciphertext", "flip one bit of an encrypted body" => Rejected, tampering::flip_ciphertext;
    "flip-claims", "change the sealed task type in place" => Rejected, tampering::flip_claims;
    "impersonate", "seal as another issuer with a stolen device key" => IssuerNotAllowed, forgery::impersonate;
    "overreach", "seal a forbidden task type with a stolen device key" => TypeNotAllowed, forgery::overreach;
    "redirect-queue", "move an authentic task to another queue" => WrongAudience, replay::redirect_queue;
    "cross-deployment", "enqueue a task of the staging deployment" => WrongAudience, forgery::cross_deployment;
    "hold-back", "hold a task back until it has expired" => Expired, forgery::hold_back;
    "pull-forward", "make a task pending before its time" => NotYetValid, replay::pull_forward;
    "retype-metadata", "change the task type outside the envelope" => MetadataMismatch, tampering::retype_metadata;
    "swap-payloads", "swap the sealed payloads of two tasks" => MetadataMismatch, tampering::swap_payloads;
    "replay-new-id", "enqueue a copy of a finished task under a new id" => MetadataMismatch, replay::replay_new_id;
    "replay", "enqueue a copy of a finished task" => Replayed, replay::replay;
    "reset-attempts", "reset the counter of a task without attempts left" => AttemptsExhausted, replay::reset_attempts;
    "forge-result", "replace the result of a task with an unsealed one" => Unsealed, replay::forge_result;
    "swap-results", "replace the result of a task with that of another" => WrongRequest, replay::swap_results;
}
