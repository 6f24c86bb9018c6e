//! What to do about an envelope that `taskseal open` refuses.

use taskseal::keys::Keyring;
use taskseal_core::{KeyId, Refusal, Unverified};

/// Returns the next step for a user with the envelope and the configuration.
pub(super) fn hint(refusal: Refusal, envelope: Option<Unverified<'_>>, keyring: &Keyring) -> Option<String> {
    if let Some(hint) = fixed(refusal) {
        return Some(hint.to_owned());
    }
    let kid = envelope.map(|envelope| envelope.kid());
    let recipient = envelope.and_then(|envelope| envelope.recipient_kid());
    let file = keyring.file().display();
    Some(match refusal {
        Refusal::UnknownKey => {
            format!("it names key {}; {file} has {}", kid?, list(keyring.known_kids().collect()))
        }
        Refusal::NoDecryptionKey => {
            format!(
                "it is encrypted to key {}; this host has {}",
                recipient?,
                list(keyring.decryption_kids())
            )
        }
        Refusal::SuiteNotAllowed if envelope.is_some_and(|envelope| envelope.is_batched()) => {
            "it was sealed in a batch: set [policy] batches or use --batches; else see [policy] suites"
                .to_owned()
        }
        Refusal::SuiteNotAllowed => "[policy] suites lists the accepted suites".to_owned(),
        Refusal::KeyNotValid | Refusal::IssuerNotAllowed | Refusal::TypeNotAllowed => {
            format!("see the entry of key {} in {file}", kid?)
        }
        _ => return None,
    })
}

/// Hints that do not depend on the envelope.
const fn fixed(refusal: Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::WrongAudience | Refusal::AudienceNotAllowed => {
            "name the queue that it was taken from with --queue; `taskseal inspect` shows what it claims"
        }
        Refusal::WrongKind => "open a result with --request and the envelope of its task",
        Refusal::WrongRequest => "--request must name the exact envelope that was sent",
        Refusal::Unsealed | Refusal::Malformed => "the file must contain one envelope and nothing else",
        Refusal::TooLarge => "[policy] max_body limits the size of a body",
        Refusal::LifetimeTooLong => "[policy] max_lifetime limits the lifetime of a task",
        Refusal::IssuedInFuture | Refusal::NotYetValid => {
            "compare the clock of this host with that of the issuer"
        }
        _ => return None,
    })
}

fn list(kids: Vec<KeyId>) -> String {
    let kids: Vec<_> = kids.iter().map(ToString::to_string).collect();
    if kids.is_empty() { "none".to_owned() } else { kids.join(", ") }
}
