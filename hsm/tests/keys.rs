//! Keys in real tokens: made, found, used, refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::convert::Infallible;

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use support::{Fixture, digest, eventually, on_every_token};
use taskseal_core::keys::{self, AgreementKey};
use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{
    Agree, Audience, Claims, ContentType, Issuer, KeyId, Keyset, NameSet, Policy, Provider, Refusal, Sealer,
    Secret, Signer, Software, Suite, SuiteSet, TaskId, TaskType, TimeWindow, Unverified,
};
use taskseal_hsm::{EcKey, Error, KeyDefect, KeySelector, KeyUri, MacKey, Settings, Usage, WrappingKey};

fn signatures_of_the_token_verify_in_the_host(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    for number in 0..64 {
        let digest = digest(&format!("task {number}"));
        let signature = key.sign_digest(&digest).unwrap();
        Software.verify_es256(&key.verifying_key().unwrap(), &digest, &signature).unwrap();
        // Half of the order of the curve begins with 7f.
        assert!(signature[32] <= 0x7f, "the larger s");
    }
    assert_eq!(token.health().signing.count, 64);
}

fn the_token_and_the_host_agree_on_the_same_secret(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Agree, "orders").unwrap();
    let mut host = AgreementKey::from_scalar(&Secret::copy_from(&[7; 32])).unwrap();

    for _ in 0..8 {
        let there = key.agree(&host.public_key()).unwrap();
        let Ok(here) = host.agree(&key.agreement_key().unwrap());
        assert_eq!(there.as_bytes(), here.as_bytes());
    }
}

fn a_key_for_one_use_refuses_the_other(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let signing = EcKey::generate(&token, Usage::Sign, "sign").unwrap();
    let agreement = EcKey::generate(&token, Usage::Agree, "agree").unwrap();
    let usage = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::WrongKey(KeyDefect::Usage))), "{result:?}");
    };

    usage(agreement.sign_digest(&[1; 32]).map(|_| ()));
    usage(signing.agree(&agreement.agreement_key().unwrap()).map(|_| ()));
    usage(EcKey::load(&token, &KeySelector::label("sign"), Usage::Agree).map(|_| ()));
    usage(EcKey::load(&token, &KeySelector::label("agree"), Usage::Sign).map(|_| ()));
}

fn a_key_is_found_by_kid_and_by_label(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let made = EcKey::generate(&token, Usage::Sign, "orders/2026-11").unwrap();
    EcKey::generate(&token, Usage::Sign, "other").unwrap();

    for selector in [KeySelector::kid(made.kid()), KeySelector::label("orders/2026-11")] {
        let found = EcKey::load(&token, &selector, Usage::Sign).unwrap();
        assert_eq!(found.public_point(), made.public_point());
        assert_eq!(found.label(), "orders/2026-11");
    }
    let missing = EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign);
    assert!(matches!(missing, Err(Error::NoSuchKey)), "{missing:?}");
    let taken = EcKey::generate(&token, Usage::Sign, "other");
    assert!(matches!(taken, Err(Error::Config(_))), "{taken:?}");
}

fn a_key_is_found_by_its_uri(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let made = EcKey::generate(&token, Usage::Sign, "orders/2026-11").unwrap();
    let id: String = made.kid().as_bytes().iter().map(|byte| format!("%{byte:02x}")).collect();
    let load = |key: &str| {
        let uri = KeyUri::parse(&format!("pkcs11:token=plant;{key}")).unwrap();
        EcKey::load(&token, &KeySelector::from(&uri), Usage::Sign)
    };

    for key in [
        &format!("id={id}"),
        "object=orders%2f2026-11",
        &format!("id={id};object=orders%2f2026-11;type=private"),
    ] {
        assert_eq!(load(key).unwrap().kid(), made.kid(), "{key}");
    }
    for key in
        ["id=%01", "object=orders", &format!("id={id};object=other"), &format!("id={id};type=secret-key")]
    {
        let missing = load(key);
        assert!(matches!(missing, Err(Error::NoSuchKey)), "{key}: {missing:?}");
    }
}

fn tags_of_the_token_are_those_of_one_key(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = MacKey::generate(&token, "shared").unwrap();
    let again = MacKey::load(&token, &KeySelector::kid(key.kid())).unwrap();
    let other = MacKey::generate(&token, "other").unwrap();

    let tag = key.mac(b"a message").unwrap();
    assert_eq!(tag, again.mac(b"a message").unwrap());
    assert_ne!(tag, again.mac(b"a massage").unwrap());
    assert_ne!(tag, other.mac(b"a message").unwrap());
}

/// Puts an HMAC key that others have too into the token, as its own tools do.
fn import_mac(fixture: &Fixture, kid: KeyId, secret: &[u8; 32]) {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Verify(true),
        // What is left out is allowed by some tokens.
        Attribute::Derive(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Id(kid.as_bytes().to_vec()),
        Attribute::Label("shared".into()),
        Attribute::Value(secret.to_vec()),
    ];
    fixture.raw_session().create_object(&template).unwrap();
}

fn a_task_sealed_by_an_hmac_key_in_the_token_verifies_by_its_secret_in_memory(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let (kid, secret) = (KeyId::from_bytes([0x4d; 8]), [0x5c; 32]);
    import_mac(fixture, kid, &secret);
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

    // Short, longer than one call of most devices takes data, and in its own form with the body beside it.
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

/// Suite M draws nothing.
struct NoRng;

impl rand_core::TryRng for NoRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("asked for randomness")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("asked for randomness")
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Infallible> {
        panic!("asked for randomness")
    }
}

impl rand_core::TryCryptoRng for NoRng {}

fn a_wrapped_key_comes_back_unless_it_was_changed(fixture: &Fixture) {
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
    // Nothing stays behind.
    assert_eq!(token.keys().unwrap().len(), 2);
}

fn a_tag_that_the_token_calculates_in_two_ways_is_not_handed_out(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = MacKey::generate(&token, "shared").unwrap();
    let tag = key.mac(b"text").unwrap();

    fixture.fault("garbage_once", "");
    let refused = key.mac(b"text");
    assert!(matches!(refused, Err(Error::FaultyAnswer)), "{refused:?}");
    assert_eq!(eventually(|| key.mac(b"text")), tag);
    assert_eq!(token.health().faulty_answers, 1);
}

/// Devices that take little data in one call are no exception.
fn a_message_that_is_too_long_for_the_token_is_refused_as_that_and_the_next_one_is_not(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = MacKey::generate(&token, "shared").unwrap();
    fixture.fault("longest", "1024");

    let refused = key.mac(&[7; 1025]);
    assert!(matches!(refused, Err(Error::TooLong { len: 1025 })), "{refused:?}");
    assert!(!refused.unwrap_err().is_transient());
    key.mac(&[7; 1024]).unwrap();
    // Who takes no message at all has nothing against the length of this one.
    fixture.fault("longest", "16");
    let refused = key.mac(&[7; 1024]);
    assert!(matches!(refused, Err(Error::Token(_))), "{refused:?}");
    let health = token.health();
    assert_eq!((health.session_recoveries, health.login_recoveries, health.library_recoveries), (0, 0, 0));
}

fn a_wrapped_key_that_does_not_come_back_is_not_handed_out(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let kek = WrappingKey::generate(&token, "files").unwrap();
    let key = Secret::copy_from(&[0x5c; 32]);
    let wrapped = kek.wrap(&key).unwrap();

    fixture.fault("garbage_wrap", "");
    let refused = kek.wrap(&key);
    assert!(matches!(refused, Err(Error::FaultyAnswer)), "{refused:?}");
    assert_eq!(eventually(|| kek.wrap(&key)), wrapped);
    for fault in ["rv.C_WrapKey", "rv.C_UnwrapKey"] {
        fixture.fault(fault, "0xb3");
        assert_eq!(kek.wrap(&key).unwrap(), wrapped, "{fault}");
        assert!(!fixture.has(fault), "it did not happen");
    }
}

fn keys_are_made_for_one_use_alone_and_can_never_have_left(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    EcKey::generate(&token, Usage::Sign, "sign").unwrap();
    EcKey::generate(&token, Usage::Agree, "agree").unwrap();
    MacKey::generate(&token, "mac").unwrap();
    WrappingKey::generate(&token, "kek").unwrap();
    import_mac(fixture, KeyId::from_bytes([0x4d; 8]), &[0x5c; 32]);

    let listed = token.keys().unwrap();
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|key| key.defect.is_none()), "{listed:?}");
    assert!(listed.iter().all(|key| key.never_left == (key.label != "shared")), "{listed:?}");
    let uses = [
        AttributeType::Sign,
        AttributeType::SignRecover,
        AttributeType::Derive,
        AttributeType::Decrypt,
        AttributeType::Unwrap,
        AttributeType::Encrypt,
        AttributeType::Wrap,
        AttributeType::Verify,
        AttributeType::VerifyRecover,
    ];
    let session = fixture.raw_session();
    for (label, class, allowed) in [
        ("sign", ObjectClass::PRIVATE_KEY, &[AttributeType::Sign][..]),
        ("sign", ObjectClass::PUBLIC_KEY, &[AttributeType::Verify]),
        ("agree", ObjectClass::PRIVATE_KEY, &[AttributeType::Derive]),
        ("agree", ObjectClass::PUBLIC_KEY, &[]),
        ("mac", ObjectClass::SECRET_KEY, &[AttributeType::Sign]),
        ("kek", ObjectClass::SECRET_KEY, &[AttributeType::Wrap, AttributeType::Unwrap]),
    ] {
        let named = [Attribute::Class(class), Attribute::Label(label.into())];
        let key = session.find_objects(&named).unwrap()[0];
        for used in uses {
            let shown = session.get_attributes(key, &[used]).unwrap();
            let may = shown.iter().any(|attribute| {
                use Attribute::{
                    Decrypt, Derive, Encrypt, Sign, SignRecover, Unwrap, Verify, VerifyRecover, Wrap,
                };
                matches!(
                    attribute,
                    Sign(true)
                        | SignRecover(true)
                        | Derive(true)
                        | Decrypt(true)
                        | Unwrap(true)
                        | Encrypt(true)
                        | Wrap(true)
                        | Verify(true)
                        | VerifyRecover(true)
                )
            });
            assert_eq!(may, allowed.contains(&used), "{label}, {class}: {used:?}");
        }
    }
}

fn the_seams_of_the_core_are_served(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let signing = EcKey::generate(&token, Usage::Sign, "origin").unwrap();
    let agreement = EcKey::generate(&token, Usage::Agree, "worker").unwrap();
    let (mut by_ref, mut owned) = (&signing, agreement.clone());

    let signature = Signer::sign_digest(&mut by_ref, &digest("task")).unwrap();
    assert_eq!(Signer::kid(&by_ref), signing.verifying_key().unwrap().kid());
    Software.verify_es256(&signing.verifying_key().unwrap(), &digest("task"), &signature).unwrap();
    let (ephemeral, expected) =
        Software.agree_ephemeral(&Secret::copy_from(&[3; 32]), &agreement.agreement_key().unwrap()).unwrap();
    let agreed = Agree::agree(&mut owned, &ephemeral).unwrap();
    assert_eq!(agreed.as_bytes(), expected.as_bytes());
    assert_eq!(Agree::kid(&owned), agreement.kid());
}

on_every_token! {
    signatures_of_the_token_verify_in_the_host,
    the_token_and_the_host_agree_on_the_same_secret,
    a_tag_that_the_token_calculates_in_two_ways_is_not_handed_out,
    a_message_that_is_too_long_for_the_token_is_refused_as_that_and_the_next_one_is_not,
    a_wrapped_key_that_does_not_come_back_is_not_handed_out,
    keys_are_made_for_one_use_alone_and_can_never_have_left,
    the_seams_of_the_core_are_served,
    a_key_for_one_use_refuses_the_other,
    a_key_is_found_by_kid_and_by_label,
    a_key_is_found_by_its_uri,
    tags_of_the_token_are_those_of_one_key,
    a_task_sealed_by_an_hmac_key_in_the_token_verifies_by_its_secret_in_memory,
    a_wrapped_key_comes_back_unless_it_was_changed,
}
