//! What an operator is to do about a refusal.

use taskseal_core::Refusal;

/// The next step for a person who finds a refused task.
pub(super) const fn next_step(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unsealed => {
            "something writes to this queue without sealing: find the producer, or who else can write there"
        }
        Refusal::TooLarge => "raise [policy] max_body if it is genuine, or seal a reference to the data",
        Refusal::Malformed => "the bytes were cut, changed or never were a task: look at who can write there",
        Refusal::WrongKind => "a result was put where a task belongs: look at who can write there",
        Refusal::SuiteNotAllowed => {
            "[policy] suites and [worker] batches say what is accepted: change the producer, not the policy, if in doubt"
        }
        Refusal::UnknownKey => {
            "if the producer is yours, add its [[key]] entry to the keyset; else somebody else seals for you"
        }
        Refusal::Rejected => "the bytes were changed or sealed by somebody else: look at who can write there",
        Refusal::KeyNotValid => {
            "see status and dates of the key in the keyset: rotate the producer to an active key"
        }
        Refusal::IssuerNotAllowed => {
            "see `issuers` of the key in the keyset: widen it only if the key is really that issuer's"
        }
        Refusal::TypeNotAllowed => {
            "see `types` of the key in the keyset: widen it only if this issuer may order that"
        }
        Refusal::AudienceNotAllowed => {
            "see `audiences` of the key in the keyset: widen it only if this issuer may use that queue"
        }
        Refusal::WrongAudience => {
            "it was sealed for another queue or deployment: a wrong --queue, or somebody moved it"
        }
        Refusal::TypeNotHandled => {
            "add a [[handler]] for its type, or send it to a queue whose workers have one"
        }
        Refusal::ClockNotAllowed => {
            "the issuer has no clock that is set: [policy] clockless says whether such issuers are accepted"
        }
        Refusal::IssuedInFuture => "compare the clocks of this host and the issuer's",
        Refusal::LifetimeTooLong => {
            "[policy] max_lifetime bounds how long a task lives: shorten the producer's lifetime"
        }
        Refusal::Expired => "it came too late or was held back: enqueue it again if it is still wanted",
        Refusal::NotYetValid => "it is put back until its time; one that comes early was pulled forward",
        Refusal::MetadataMismatch => {
            "the queue says something else than the seal: look at who can write there"
        }
        Refusal::WrongRequest => "this result belongs to another task: look at who can write there",
        Refusal::Replayed => "it has run already: somebody or something put a copy back",
        Refusal::OutOfSequence => {
            "newer tasks of this issuer overtook it: find what held it back, enqueue it again if it is still wanted"
        }
        Refusal::Conflict => "two tasks with one id: make the producer use a new id for each task",
        Refusal::AttemptsExhausted => {
            "it was started as often as its producer allows: mend the handler and enqueue it anew"
        }
        Refusal::Poisonous => "workers died while they ran it: find out why before it is enqueued anew",
        Refusal::NoDecryptionKey => {
            "add the secret key that it is encrypted to under `decryption_keys`, or mend the producer's `recipient`"
        }
        _ => "see the code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_next_step() {
        for refusal in Refusal::ALL {
            assert_ne!(next_step(*refusal), "see the code", "{}", refusal.code());
        }
    }
}
