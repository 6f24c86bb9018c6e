//! Fixtures of the tests of signed keysets. The tests are in submodules by subject.

use std::vec::Vec;

use super::format::{Head, encode_header, encode_payload, encode_start};
use super::*;
use crate::cbor::encoder::{Sink, SinkError};
use crate::keys::SigningKey;
use crate::name::KeysetName;
use crate::structure::signature_digest;
use crate::testing::{NOW, agreement_key, signing_key};
use crate::{KeyId, NameSet, Signer, TimeWindow};

mod build;
mod current;
mod example;
mod format;
mod history;
mod recipients;
mod state;
mod tamper;
mod verify;

const DAY: u64 = 86_400;
const SPECIFICATION: &str = include_str!("../../../docs/keyset.md");

/// A sink without a size limit.
struct Out(Vec<u8>);

impl Sink for Out {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn encoded(encode: impl FnOnce(&mut Out) -> Result<(), SinkError>) -> Vec<u8> {
    let mut out = Out(Vec::new());
    encode(&mut out).unwrap();
    out.0
}

fn root() -> SigningKey {
    signing_key(0xa0)
}

fn name() -> KeysetName<'static> {
    KeysetName::new("plant").unwrap()
}

fn roots() -> PinnedRoots<'static> {
    PinnedRoots::new(name(), root().verifying_key())
}

fn first() -> Head<'static> {
    Head { name: name(), sequence: 1, issued_at: NOW, not_after: NOW + 30 * DAY, previous: None }
}

fn rights() -> Role<'static> {
    Role::new()
        .issuers(NameSet::new("sensor-17"))
        .types(NameSet::new("reading:*"))
        .audiences(NameSet::new("plant/*"))
}

fn producer(seed: u8) -> Entry<'static> {
    Entry::new(EntryKey::Es256(signing_key(seed).verifying_key()), KeyState::Primary).role(rights())
}

fn recipient(seed: u8) -> Entry<'static> {
    Entry::new(EntryKey::Agreement(agreement_key(seed).public_key()), KeyState::Primary)
}

fn kid(byte: u8) -> KeyId {
    KeyId::from_bytes([byte; 8])
}

/// One entry of each type of key, in order.
fn entries() -> Vec<Entry<'static>> {
    let mut entries = std::vec![
        producer(1).use_from(NOW).sign_until(NOW + 10 * DAY).accept_until(NOW + 17 * DAY),
        recipient(2),
        Entry::new(EntryKey::Hmac256(kid(3)), KeyState::Staged).role(Role::new().kind(crate::Kind::Result)),
        Entry::new(EntryKey::A256Gcm(kid(4)), KeyState::Retiring).accept_until(NOW + DAY),
        Entry::tombstone(kid(5)),
    ];
    entries.sort_by_key(Entry::kid);
    entries
}

fn payload(head: &Head<'_>, entries: &[Entry<'_>]) -> Vec<u8> {
    encoded(|out| encode_payload(head, entries, out))
}

/// Signs any bytes, unlike a root.
fn sign(root: &SigningKey, payload: &[u8]) -> Vec<u8> {
    let header = encoded(|out| encode_header(Signer::kid(&root), out));
    let signature = { root }.sign_digest(&signature_digest(&header, payload)).unwrap();
    // The software signer returns either value of s.
    let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap().normalize_s();
    encoded(|out| {
        encode_start(Signer::kid(&root), payload.len(), out)?;
        out.put(payload)?;
        out.bytes(&signature.to_bytes())
    })
}

fn signed(head: &Head<'_>, entries: &[Entry<'_>]) -> Vec<u8> {
    sign(&root(), &payload(head, entries))
}

fn verify<'a>(
    bytes: &'a [u8],
    roots: &PinnedRoots<'_>,
    last_seen: Option<&Checkpoint>,
    now: u64,
) -> Result<VerifiedKeyset<'a, 8>, KeysetRefusal> {
    UnverifiedKeyset::parse(bytes)?.verify(roots, last_seen, &mut TimeWindow::exact(now))
}

fn accepted(bytes: &[u8]) -> VerifiedKeyset<'_, 8> {
    verify(bytes, &roots(), None, NOW).unwrap()
}

fn refused(bytes: &[u8]) -> KeysetRefusal {
    verify(bytes, &roots(), None, NOW).unwrap_err()
}
