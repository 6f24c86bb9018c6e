//! The worked example of the specification, byte for byte, in both directions.

use sha2::{Digest, Sha256};

use super::*;
use crate::Secret;
use crate::keys::AgreementKey;
use crate::keyset::KeyLookup;
use crate::testing::hex;

const ISSUED_AT: u64 = 1_763_751_000;

/// SHA-256 of the label, plus one: below the order of the curve for every label in use here.
fn scalar(label: &str) -> Secret<32> {
    let mut scalar: [u8; 32] = Sha256::digest(label).into();
    for digit in scalar.iter_mut().rev() {
        *digit = digit.wrapping_add(1);
        if *digit != 0 {
            break;
        }
    }
    Secret::copy_from(&scalar)
}

fn signing(label: &str) -> SigningKey {
    SigningKey::from_scalar(&scalar(label)).unwrap()
}

fn example_root() -> SigningKey {
    signing("taskseal example keyset root")
}

fn example_roots() -> Roots<'static> {
    Roots::new(KeysetName::new("prod").unwrap(), example_root().verifying_key())
}

fn role() -> Role<'static> {
    Role::new()
        .issuers(NameSet::new("sensor-gw-07"))
        .types(NameSet::new("email:*"))
        .audiences(NameSet::new("prod/*"))
}

fn old_producer() -> Entry<'static> {
    let key = signing("taskseal example producer signing key").verifying_key();
    Entry::new(EntryKey::Es256(key), KeyState::Primary).role(role())
}

fn shared_mac() -> Entry<'static> {
    let key = EntryKey::Hmac256(KeyId::parse_hex("6d61630000000001").unwrap());
    let role = Role::new().kind(crate::Kind::Result).issuers(NameSet::new("worker-1"));
    Entry::new(key, KeyState::Disabled).role(role)
}

fn one() -> KeysetDraft<'static, 8> {
    let mut draft =
        KeysetDraft::first(KeysetName::new("prod").unwrap(), ISSUED_AT, ISSUED_AT + 30 * DAY).unwrap();
    draft.insert(old_producer()).unwrap();
    draft.insert(shared_mac()).unwrap();
    draft
}

/// A day later: another producer key is primary, the worker has a key, one shared key is gone, another is new.
fn two() -> KeysetDraft<'static, 8> {
    let now = ISSUED_AT + DAY;
    let name = KeysetName::new("prod").unwrap();
    let producer = signing("taskseal example producer signing key 2").verifying_key();
    let worker = AgreementKey::from_scalar(&scalar("taskseal example worker key")).unwrap().public_key();
    let inner = EntryKey::A256Gcm(KeyId::parse_hex("656e630000000001").unwrap());
    let mut draft = KeysetDraft::after(&one().checkpoint(), name, now, now + 30 * DAY).unwrap();
    for entry in [
        old_producer().state(KeyState::Retiring).sign_until(now).accept_until(now + 8 * DAY),
        Entry::new(EntryKey::Es256(producer), KeyState::Primary).use_from(now).role(role()),
        Entry::new(EntryKey::Agreement(worker), KeyState::Primary),
        Entry::new(inner, KeyState::Staged),
        Entry::tombstone(shared_mac().kid()),
    ] {
        draft.insert(entry).unwrap();
    }
    draft
}

#[test]
fn print() {
    for draft in [one(), two()] {
        let mut buffer = std::vec![0; draft.signed_len()];
        let text: std::string::String = draft
            .sign(&mut example_root(), &mut buffer)
            .unwrap()
            .iter()
            .map(|b| std::format!("{b:02x}"))
            .collect();
        std::println!("HEX {text}");
    }
    let _ = hex("00");
}
