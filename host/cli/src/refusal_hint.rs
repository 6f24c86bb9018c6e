//! What an operator should do about a refused task.

use taskseal::policy::Violation;
use taskseal_core::Refusal;

/// Returns the next step for an operator who finds a refused task with this detail. If a rule of the policy file does not accept it,
/// the keyset is not the place to look at.
pub(crate) fn refusal_hint_of(refusal: Refusal, detail: &str) -> &'static str {
    let is_of_rule = match refusal {
        Refusal::IssuerNotAllowed | Refusal::TypeNotAllowed | Refusal::AudienceNotAllowed => {
            Violation::is_described_by(detail)
        }
        _ => false,
    };
    if is_of_rule { POLICY } else { refusal_hint(refusal) }
}

/// For a task that a rule of its type does not accept.
pub(crate) const POLICY: &str = "change the rule in the policy file only if the task is genuine: workers load it again by themselves, and \
                                 `taskseal policy check` shows it";

/// Returns the next step for an operator who finds a refused task.
pub(crate) const fn refusal_hint(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unsealed => {
            "a program writes to this queue without sealing: find it. `taskseal task run` delivers the task again once the mode of its \
             type allows unsealed tasks"
        }
        Refusal::TooLarge => {
            "raise [policy] max_body if the task is genuine, or seal a reference to the data"
        }
        Refusal::Malformed => {
            "the bytes were truncated, changed or never were a task: check who can write to the queue"
        }
        Refusal::WrongKind => "a result was enqueued as a task: check who can write to the queue",
        Refusal::SuiteNotAllowed => {
            "[policy] suites and [policy] batches say what is accepted: if in doubt, change the producer, not the policy"
        }
        Refusal::UnknownKey => {
            "if the producer is yours, add its [[key]] entry to the keyset; if not, check who can write to the queue"
        }
        Refusal::Rejected => {
            "the bytes were changed or sealed with another key: check who can write to the queue"
        }
        Refusal::KeyNotValid => {
            "see state and times of the key in the keyset: rotate the producer to a primary key"
        }
        Refusal::IssuerNotAllowed => {
            "see `issuers` of the key in the keyset, and of the rule in the policy file: add the issuer only if it holds this key"
        }
        Refusal::TypeNotAllowed => {
            "see `types` of the key in the keyset, and the rules of the policy file: add the type only if this issuer may request it"
        }
        Refusal::AudienceNotAllowed => {
            "see `audiences` of the key in the keyset, and `queues` in the policy file: add the queue only if this issuer may use it"
        }
        Refusal::WrongAudience => {
            "it was sealed for another queue or deployment: check --queue, and who can move tasks"
        }
        Refusal::TypeNotHandled => {
            "add a [[handler]] for its type, or send it to a queue whose workers have one"
        }
        Refusal::ClockNotAllowed => {
            "the issuer has no synchronised clock: [policy] clockless says whether such issuers are accepted"
        }
        Refusal::IssuedInFuture => {
            "compare the clock of this host with that of the issuer; it runs when its time has come"
        }
        Refusal::LifetimeTooLong => {
            "[policy] max_lifetime limits the lifetime of a task: shorten it at the producer"
        }
        Refusal::Expired => "it arrived too late or was held back: enqueue it again if it is still wanted",
        Refusal::NotYetValid => {
            "it is postponed until its start time; a task that is taken early was moved in the queue"
        }
        Refusal::MetadataMismatch => {
            "the metadata in the queue differs from the sealed claims: check who can write to the queue"
        }
        Refusal::WrongRequest => "this result belongs to another task: check who can write to the queue",
        Refusal::Replayed => {
            "a copy of it was enqueued, or the ledger was created after it: if it must run, enqueue it again with a new id"
        }
        Refusal::OutOfSequence => {
            "newer tasks of this issuer arrived first: find what delayed it, enqueue it again if it is still wanted"
        }
        Refusal::Conflict => "two tasks have the same id: make the producer use a new id for each task",
        Refusal::AttemptsExhausted => {
            "it was started as often as its producer allows: fix the handler and enqueue it again with a new id"
        }
        Refusal::Poisonous => "workers died while running it: find the cause before you enqueue it again",
        Refusal::NoDecryptionKey => {
            "add the secret key that it is encrypted to under `decryption_keys`, or correct `recipient` at the producer"
        }
        _ => FALLBACK,
    }
}

/// The next step for an envelope of a key that the keyset has, and with which this host cannot verify: it was destroyed, or its secret is
/// elsewhere.
pub(crate) const UNUSABLE_KEY: &str = "see the state of its key in the keyset: what a destroyed key sealed is never accepted again, so seal the \
                                       task with a primary key if it is still wanted";

/// For refusals that this program does not know yet.
const FALLBACK: &str = "see the refusal code";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_next_step() {
        for refusal in Refusal::ALL {
            assert_ne!(refusal_hint(*refusal), FALLBACK, "{}", refusal.code());
        }
    }
}
