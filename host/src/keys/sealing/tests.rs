use std::convert::Infallible;

use getrandom::rand_core::TryRng;
use taskseal_core::{Audience, Issuer, TaskId, TaskType, Unverified};

use super::*;
use crate::keys::testing::{Folder, RIGHTS, entry};
use crate::keys::{Algorithm, SealingSource};

/// A source that always returns the same bytes, as in two clones of one virtual machine.
struct Repeating;

impl TryRng for Repeating {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0x0505_0505)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0x0505_0505_0505_0505)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(5);
        Ok(())
    }
}

impl TryCryptoRng for Repeating {}

const LEN: usize = 1024;

fn claims() -> Claims<'static> {
    let (issuer, task_type) = (Issuer::new("me").unwrap(), TaskType::new("file:digest").unwrap());
    Claims::new(issuer, task_type, Audience::new("here/default").unwrap(), TaskId::from_bytes([1; 16]))
        .issued_at(1_763_751_000)
        .expires_at(1_763_754_600)
}

/// Returns sealing keys of every suite that encrypts.
fn encrypting() -> Vec<SealingKey> {
    let folder = Folder::new();
    let sign = folder.key("sign.key", Algorithm::Es256);
    let encrypt = folder.key("encrypt.key", Algorithm::A256Gcm);
    let shared = folder.key("shared.key", Algorithm::A256Gcm);
    let agree = folder.key("agree.key", Algorithm::EcdhEs);
    let keyring = folder.keyset(
        &[
            entry(&sign, &format!("use = \"task\"\n{RIGHTS}")),
            entry(&encrypt, &format!("use = \"task\"\nsecret_file = \"encrypt.key\"\n{RIGHTS}")),
            entry(&shared, "use = \"task\"\nsecret_file = \"shared.key\"\n"),
            entry(&agree, "use = \"task\"\n"),
        ]
        .concat(),
    );
    let source = |suite, key: &str| SealingSource::new(suite, folder.path(key));
    [
        source(Suite::E, "encrypt.key"),
        source(Suite::Se, "sign.key").encryption_key(folder.path("shared.key")),
        source(Suite::Sp, "sign.key").recipient(agree.kid()),
    ]
    .map(|source| keyring.sealing_key(&source, Kind::Task).unwrap())
    .into()
}

/// Returns how many bytes of two envelopes differ. With one keystream, these are the bytes that differ in the bodies, a tag and
/// a signature.
fn difference(first: &[u8], second: &[u8]) -> usize {
    assert_eq!(first.len(), second.len());
    first.iter().zip(second).filter(|(one, other)| one != other).count()
}

fn seal_unhedged(key: &SealingKey, claims: &Claims<'_>, body: &[u8]) -> Vec<u8> {
    let draft = Draft::new(claims, ContentType::JSON, body);
    let random = &mut Plain(&mut Repeating);
    match &*key.keys {
        Keys::Encrypt(key, _) => seal_alone(&mut Sealer::encrypt(key), &draft, random).unwrap(),
        Keys::SignEncrypt(signer, key, _) => {
            seal_alone(&mut Sealer::sign_encrypt(signer, key), &draft, random).unwrap()
        }
        Keys::SignEncryptTo(signer, recipients, _) => {
            let recipient = recipients.find(&key.keyset, Kind::Task, &draft).unwrap();
            seal_alone(&mut Sealer::sign_encrypt_to(signer, &recipient), &draft, random).unwrap()
        }
        Keys::Sign(_) | Keys::Authenticate(_) => unreachable!("the suite encrypts"),
    }
}

fn bodies() -> [Vec<u8>; 2] {
    let mut second = vec![b'a'; LEN];
    second[LEN - 1] = b'b';
    [vec![b'a'; LEN], second]
}

#[test]
fn bodies_that_differ_never_share_a_nonce_although_the_random_source_repeats() {
    let claims = claims();
    for key in encrypting() {
        let bodies = bodies();
        let seal = |key: &SealingKey, body: &[u8]| {
            let draft = Draft::new(&claims, ContentType::JSON, body);
            key.seal_with_rng(&draft, &mut Repeating).unwrap()
        };
        let [first, second] = bodies.each_ref().map(|body| seal(&key, body));
        assert!(difference(&first, &second) > LEN * 9 / 10, "{}", key.suite());
        // Without the hedge the test finds the fault.
        let [first, second] = bodies.each_ref().map(|body| seal_unhedged(&key, &claims, body));
        assert!(difference(&first, &second) < LEN / 4, "{}", key.suite());
    }
}

#[test]
fn batches_that_differ_in_a_body_never_share_its_nonce_although_the_random_source_repeats() {
    let claims = claims();
    for key in encrypting().into_iter().filter(SealingKey::signs) {
        let [same, other] = bodies();
        let seal = |bodies: [&[u8]; 2]| {
            let drafts = bodies.map(|body| Draft::new(&claims, ContentType::JSON, body));
            key.seal_chunk(&drafts, &mut Repeating).pop().unwrap().unwrap()
        };
        let (first, second) = (seal([&same, &same]), seal([&same, &other]));
        assert!(difference(&first, &second) > LEN * 9 / 10, "{}", key.suite());
    }
}

#[test]
fn debug_output_of_a_draft_omits_its_body() {
    let claims = claims();
    let draft = Draft::new(&claims, ContentType::JSON, b"canary");
    let shown = format!("{draft:?}");
    let bytes = format!("{:?}", b"canary");
    assert!(!shown.contains("canary") && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
}

#[test]
fn clear_body_is_signed_by_every_key_that_signs_and_by_no_other() {
    let claims = claims();
    let draft = Draft::new(&claims, ContentType::OCTETS, b"in clear");
    for key in encrypting() {
        let Some(envelope) = key.seal_detached(&draft) else {
            assert_eq!(key.suite(), Suite::E);
            continue;
        };
        let envelope = envelope.unwrap();
        assert!(Unverified::parse(&envelope).is_err());
        let parsed = Unverified::parse_detached(&envelope, b"in clear").unwrap();
        assert_eq!((parsed.suite(), parsed.kid(), parsed.is_detached()), (Suite::S, key.kid(), true));
        assert!(key.signs() && !envelope.windows(8).any(|bytes| bytes == b"in clear"));
    }
}

#[test]
fn shared_key_of_a_folder_that_the_keyset_allows_encrypts() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("shared")).unwrap();
    let sign = folder.key("sign.key", Algorithm::Es256);
    let [old, new] = ["old", "new"].map(|name| folder.key(&format!("shared/{name}.key"), Algorithm::A256Gcm));
    let source = SealingSource::new(Suite::Se, folder.path("sign.key")).encryption_key(folder.path("shared"));
    let chosen = |old_lines: &str, new_lines: &str| {
        let shared = |key, name: &str, lines: &str| {
            entry(key, &format!("use = \"task\"\nsecret_file = \"shared/{name}.key\"\n{lines}"))
        };
        let keyring = folder.keyset(
            &[
                entry(&sign, &format!("use = \"task\"\n{RIGHTS}")),
                shared(&old, "old", old_lines),
                shared(&new, "new", new_lines),
            ]
            .concat(),
        );
        keyring.sealing_key(&source, Kind::Task).map(|key| key.encryption_kid().unwrap())
    };
    let error = chosen("", "").unwrap_err().to_string();
    assert!(error.contains("alike"), "{error}");
    let error = chosen("state = \"disabled\"", "state = \"staged\"").unwrap_err().to_string();
    assert!(error.contains("allows none of these keys") && error.contains(&new.kid().to_string()), "{error}");
    assert_eq!(chosen("", "state = \"staged\"").unwrap(), old.kid());
    assert_eq!(
        chosen("state = \"retiring\"\naccept_until = \"2100-01-01T00:00:00Z\"", "").unwrap(),
        new.kid()
    );
}
