//! EC keys in a token: generated, found, used and destroyed.

use cryptoki::object::{Attribute, ObjectClass};
use taskseal_core::keys::AgreementKey;
use taskseal_core::{Agree, Provider, Secret, Signer, Software};
use taskseal_hsm::{EcKey, Error, KeyDefect, KeySelector, KeyUri, Settings, Usage};

use crate::support::{Fixture, digest, on_every_token, sign};

fn signatures_of_the_token_verify_in_software(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    for number in 0..64 {
        let digest = digest(&format!("task {number}"));
        let signature = key.sign_digest(&digest).unwrap();
        Software.verify_es256(&key.verifying_key().unwrap(), &digest, &signature).unwrap();
        // Half the order of the curve starts with 7f.
        assert!(signature[32] <= 0x7f, "the larger s");
    }
    assert_eq!(token.health().signing.count, 64);
}

fn the_token_and_the_host_derive_the_same_secret(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Agree, "orders").unwrap();
    let mut host = AgreementKey::from_scalar(&Secret::copy_from(&[7; 32])).unwrap();

    for _ in 0..8 {
        let in_token = key.agree(&host.public_key()).unwrap();
        let Ok(in_host) = host.agree(&key.agreement_key().unwrap());
        assert_eq!(in_token.as_bytes(), in_host.as_bytes());
    }
}

fn a_key_for_one_use_refuses_the_other(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let signing = EcKey::generate(&token, Usage::Sign, "sign").unwrap();
    let agreement = EcKey::generate(&token, Usage::Agree, "agree").unwrap();
    let usage = |result: Result<(), Error>| {
        assert!(
            matches!(result, Err(Error::WrongKey(KeyDefect::OtherUse | KeyDefect::Usage(_)))),
            "{result:?}"
        );
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

fn keys_implement_the_traits_of_the_core(fixture: &Fixture) {
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

fn destroying_a_key_destroys_both_halves(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    EcKey::generate(&token, Usage::Sign, "one").unwrap();
    let two = EcKey::generate(&token, Usage::Sign, "two").unwrap();

    token.destroy_key(&KeySelector::label("one")).unwrap();
    let gone = token.destroy_key(&KeySelector::label("one"));
    assert!(matches!(gone, Err(Error::NoSuchKey)), "{gone:?}");
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        assert_eq!(
            fixture.raw_session().find_objects(&[Attribute::Class(class)]).unwrap().len(),
            1,
            "{class}"
        );
    }
    sign(&two, "text").unwrap();
}

on_every_token! {
    signatures_of_the_token_verify_in_software,
    the_token_and_the_host_derive_the_same_secret,
    a_key_for_one_use_refuses_the_other,
    a_key_is_found_by_kid_and_by_label,
    a_key_is_found_by_its_uri,
    keys_implement_the_traits_of_the_core,
    destroying_a_key_destroys_both_halves,
}
