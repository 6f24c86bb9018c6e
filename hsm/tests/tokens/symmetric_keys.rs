//! HMAC keys and wrapping keys in a token.

use std::convert::Infallible;

use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, KeyId, Keyset, NameSet, Policy, Refusal, Sealer, Secret, Suite,
    SuiteSet, TaskId, TaskType, TimeWindow, Unverified, keys,
};
use taskseal_hsm::{Error, KeySelector, MacKey, Settings, WrappingKey};

use crate::support::raw::import_mac_key;
use crate::support::{Fixture, on_every_token};

fn a_tag_depends_on_the_key_and_the_message(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = MacKey::generate(&token, "shared").unwrap();
    let again = MacKey::load(&token, &KeySelector::kid(key.kid())).unwrap();
    let other = MacKey::generate(&token, "other").unwrap();

    let tag = key.mac(b"a message").unwrap();
    assert_eq!(tag, again.mac(b"a message").unwrap());
    assert_ne!(tag, again.mac(b"another message").unwrap());
    assert_ne!(tag, other.mac(b"a message").unwrap());
}

fn a_task_sealed_with_a_mac_key_in_the_token_verifies_with_the_same_key_in_memory(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let (kid, secret) = (KeyId::from_bytes([0x4d; 8]), [0x5c; 32]);
    import_mac_key(fixture, kid, &secret);
    let key = MacKey::load(&token, &KeySelector::kid(kid)).unwrap();
    let in_memory = keys::HmacKey::new(kid, Secret::copy_from(&secret));
    let another = keys::HmacKey::new(kid, Secret::copy_from(&[0x5d; 32]));
    let audience = Audience::new("plant/mail").unwrap();
    let claims = Claims::new(
        Issuer::new("shop").unwrap(),
        TaskType::new("email:send").unwrap(),
        audience,
        TaskId::from_bytes([7; 16]),
    )
    .issued_at(1_000)
    .expires_at(2_000);
    let mut policy = Policy::for_tasks(audience);
    policy.suites = SuiteSet::NONE.with(Suite::M);
    let verify = |key: &keys::HmacKey, envelope: &[u8]| {
        let record = KeyRecord::new(RecordKey::Hmac256(key));
        let mut keys = Keyset::<1>::new();
        keys.insert(record.issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY)).unwrap();
        let parsed = Unverified::parse(envelope).unwrap();
        parsed.verify(&keys, &policy, &mut TimeWindow::exact(1_500)).map(drop)
    };

    // Empty, short, and longer than most devices accept in one call; attached and detached.
    for body in [vec![], vec![0x77; 52], vec![0x77; 100_000]] {
        let mut buffers = [vec![0; 101_000], vec![0; 101_000]];
        let [one, other] = &mut buffers;
        let sealed =
            Sealer::authenticate(&key).seal(&claims, ContentType::JSON, &body, &mut NoRng, one).unwrap();
        let expected =
            Sealer::authenticate(&in_memory).seal(&claims, ContentType::JSON, &body, &mut NoRng, other);
        assert_eq!(sealed, expected.unwrap());
        assert_eq!(verify(&in_memory, sealed), Ok(()));
        assert_eq!(verify(&another, sealed), Err(Refusal::Rejected.into()));

        let mut buffers = [[0; 512]; 2];
        let [one, other] = &mut buffers;
        let sealed = Sealer::authenticate(key.clone()).seal_detached(&claims, ContentType::JSON, &body, one);
        let expected =
            Sealer::authenticate(&in_memory).seal_detached(&claims, ContentType::JSON, &body, other);
        assert_eq!(sealed.unwrap(), expected.unwrap());
    }
}

/// Suite M uses no randomness.
struct NoRng;

impl rand_core::TryRng for NoRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("randomness was requested")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("randomness was requested")
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Infallible> {
        panic!("randomness was requested")
    }
}

impl rand_core::TryCryptoRng for NoRng {}

fn a_wrapped_key_unwraps_unless_it_was_modified(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let kek = WrappingKey::generate(&token, "files").unwrap();
    let other = WrappingKey::generate(&token, "other").unwrap();
    let key = Secret::copy_from(&[0x5c; 32]);

    let wrapped = kek.wrap(&key).unwrap();
    assert_eq!(kek.unwrap(&wrapped).unwrap().as_bytes(), key.as_bytes());
    for index in [0, 20, 39] {
        let mut changed = wrapped;
        changed[index] ^= 1;
        let refused = kek.unwrap(&changed);
        assert!(matches!(refused, Err(Error::NotWrapped)), "byte {index}: {refused:?}");
    }
    let refused = other.unwrap(&wrapped);
    assert!(matches!(refused, Err(Error::NotWrapped)), "{refused:?}");
    // No temporary object remains.
    assert_eq!(token.keys().unwrap().len(), 2);
}

fn a_message_that_is_too_long_for_the_token_does_not_affect_the_next_one(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = MacKey::generate(&token, "shared").unwrap();
    fixture.fault("longest", "1024");

    let refused = key.mac(&[7; 1025]);
    assert!(matches!(refused, Err(Error::TooLong { len: 1025 })), "{refused:?}");
    assert!(!refused.unwrap_err().is_transient());
    key.mac(&[7; 1024]).unwrap();
    // CKR_HOST_MEMORY, CKR_ARGUMENTS_BAD, CKR_FUNCTION_FAILED and CKR_DEVICE_MEMORY.
    for code in ["0x2", "0x7", "0x6", "0x31"] {
        fixture.fault("longest_code", code);
        let refused = key.mac(&[7; 1025]);
        assert!(matches!(refused, Err(Error::TooLong { len: 1025 })), "{code}: {refused:?}");
    }
    fixture.mend("longest_code");
    // One failure of a long message is not a fault of the message.
    let before = key.mac(&[7; 1024]).unwrap();
    fixture.fault("rv.C_SignInit", "0x31");
    assert_eq!(key.mac(&[7; 1024]).unwrap(), before);
    // A token that accepts no message at all does not refuse this one for its length.
    fixture.fault("longest", "16");
    let refused = key.mac(&[7; 1024]);
    assert!(matches!(refused, Err(Error::Token(_))), "{refused:?}");
    let health = token.health();
    assert_eq!((health.session_recoveries, health.login_recoveries, health.library_recoveries), (0, 0, 0));
}

on_every_token! {
    a_tag_depends_on_the_key_and_the_message,
    a_task_sealed_with_a_mac_key_in_the_token_verifies_with_the_same_key_in_memory,
    a_wrapped_key_unwraps_unless_it_was_modified,
    a_message_that_is_too_long_for_the_token_does_not_affect_the_next_one,
}
