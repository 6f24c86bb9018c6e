//! The fuzz targets: one function a property, for arbitrary bytes. `fuzz/` runs them under libFuzzer, and
//! `tests/formats/fuzz_corpus.rs` replays their corpora.

mod envelope;
mod files;
mod keyset;
mod mutation;
mod stub;

use taskseal::broker::redis::asynq::Message;
use taskseal::queue::QueueName;
use taskseal_core::fuzzing;
use taskseal_hsm::KeyUri;

/// A property, by the name of its target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("cbor", fuzzing::cbor),
    ("claims", fuzzing::claims),
    ("config", files::config),
    ("detached", envelope::detached),
    ("header", fuzzing::header),
    ("inner", fuzzing::inner),
    ("keyset", keyset::keyset),
    ("keyset_file", files::keyset),
    ("message", message),
    ("mutation", mutation::mutation),
    ("open", envelope::open),
    ("pkcs11_uri", pkcs11_uri),
    ("queue_name", queue_name),
    ("receipt", fuzzing::receipt),
    ("round_trip", envelope::round_trip),
    ("secret_key", files::secret_key),
    ("tree", fuzzing::tree),
];

/// Runs the target of that name.
///
/// # Panics
/// If the property does not hold, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|target| target.0 == name).expect("a target of that name");
    target(bytes);
}

/// A message that is accepted survives encoding, and is then in its one canonical form.
fn message(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    let canonical = message.encode();
    let again = Message::decode(&canonical).expect("an encoded message can be read");
    assert_eq!(again, message);
    assert_eq!(again.encode(), canonical);
}

/// A name that is accepted is kept as it is and cannot leave the braces of a Redis key.
fn queue_name(bytes: &[u8]) {
    let Ok(name) = str::from_utf8(bytes) else { return };
    let Ok(queue) = QueueName::parse(name) else { return };
    assert_eq!(queue.as_str(), name);
    assert!(!name.contains(['{', '}', ':', '/']) && !name.contains(char::is_control));
}

/// A key URI that is accepted carries no PIN, and is understood in full: token or serial, and object or id.
fn pkcs11_uri(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(uri) = KeyUri::parse(text) else { return };
    let query = text.split_once('?').map_or("", |(_, query)| query);
    assert!(!query.split('&').any(|attribute| attribute.starts_with("pin-value")));
    assert!(uri.token().is_some() || uri.serial().is_some());
    assert!(uri.object().is_some() || uri.id().is_some());
}
