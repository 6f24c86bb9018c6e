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

fn example_roots() -> PinnedRoots<'static> {
    PinnedRoots::new(KeysetName::new("prod").unwrap(), example_root().verifying_key())
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

/// One day later: another producer key is primary, the worker has a key, one shared key is removed, another is new.
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

fn written(draft: &KeysetDraft<'_, 8>) -> Vec<u8> {
    let mut buffer = std::vec![0; draft.signed_len()];
    draft.sign(&mut example_root(), &mut buffer).unwrap().to_vec()
}

/// Returns the lines of the fenced block below the heading that starts with `heading`.
fn block(heading: &str) -> Vec<&'static str> {
    let below = SPECIFICATION.split_once(heading).unwrap().1;
    below.split_once("```text\n").unwrap().1.split_once("\n```").unwrap().0.lines().collect()
}

#[test]
fn sequence_number_1_is_byte_exact() {
    assert_eq!(written(&one()), hex(&block("### Sequence number 1,").concat()));
    assert!(SPECIFICATION.contains(&std::format!("### Sequence number 1, {} bytes", one().signed_len())));
}

#[test]
fn sequence_number_2_is_byte_exact_and_its_offsets_are_right() {
    let mut bytes = Vec::new();
    for line in block("### Sequence number 2,") {
        let (offset, rest) = line.trim_start().split_once(' ').unwrap();
        assert_eq!(offset.parse(), Ok(bytes.len()), "{line}");
        bytes.extend(hex(rest.trim_start().split(' ').next().unwrap()));
    }
    assert_eq!(written(&two()), bytes);
    assert!(
        SPECIFICATION.contains(&std::format!("### Sequence number 2, a day later, {} bytes", bytes.len()))
    );
}

#[test]
fn the_digests_and_kids_in_the_text_are_right() {
    let hex = |bytes: &[u8]| -> std::string::String {
        bytes.iter().map(|byte| std::format!("{byte:02x}")).collect()
    };
    let bytes = written(&two());
    let (header, payload) = (&bytes[4..59], &bytes[63..bytes.len() - 66]);
    for text in [
        hex(one().checkpoint().digest()),
        hex(two().checkpoint().digest()),
        hex(&signature_digest(header, payload)),
        std::format!("kid `{}`", example_root().verifying_key().kid()),
    ] {
        assert!(SPECIFICATION.contains(&text), "{text}");
    }
}

#[test]
fn the_example_is_verified_as_the_text_says() {
    let (first, second) = (written(&one()), written(&two()));
    let now = ISSUED_AT + DAY;
    let seen = verify(&first, &example_roots(), None, ISSUED_AT).unwrap().checkpoint();
    let keyset = verify(&second, &example_roots(), Some(&seen), now).unwrap();
    let keys = keyset.at(TimeWindow::exact(now)).unwrap();
    let [former, next] = ["", " 2"].map(|suffix| {
        let label = std::format!("taskseal example producer signing key{suffix}");
        signing(&label).verifying_key().kid()
    });

    assert!(keys.sealing_allowed(next) && !keys.sealing_allowed(former));
    assert_eq!(keys.find(former).unwrap().valid_until, 1_764_528_600);
    assert_eq!(keys.recipients().count(), 1);
    assert_eq!(
        verify(&second, &example_roots(), Some(&seen), 1_766_429_400).unwrap_err(),
        KeysetRefusal::Expired
    );
    let seen = keyset.checkpoint();
    assert_eq!(verify(&first, &example_roots(), Some(&seen), now).unwrap_err(), KeysetRefusal::RolledBack);
}
