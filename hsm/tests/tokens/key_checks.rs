//! Keys whose attributes do not restrict them to their use.

use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use taskseal_core::KeyId;
use taskseal_hsm::{
    EcKey, Error, KeyDefect, KeySelector, KeyUri, MacKey, Settings, Token, Usage, WrappingKey,
};

use crate::support::raw::{import_mac_key, make_pair, name_by_kid};
use crate::support::{Fixture, assert_defect, on_every_token, sign};

fn keys_with_unsuitable_attributes_are_rejected(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let session = fixture.raw_session();
    let cases = [
        ("extractable", KeyDefect::Extractable, vec![Attribute::Extractable(true)]),
        ("not sensitive", KeyDefect::NotSensitive, vec![Attribute::Sensitive(false)]),
        ("not private", KeyDefect::NotPrivate, vec![Attribute::Private(false)]),
        ("asks for the PIN", KeyDefect::AlwaysAuthenticate, vec![Attribute::AlwaysAuthenticate(true)]),
        // secp384r1
        ("curve", KeyDefect::Type, vec![Attribute::EcParams(vec![6, 5, 0x2b, 0x81, 4, 0, 0x22])]),
    ];
    for (label, expected, attributes) in cases {
        let pair = make_pair(&session, b"12345678", label, &attributes);
        if expected != KeyDefect::Type {
            name_by_kid(&session, pair);
        }
        assert_defect(EcKey::load(&token, &KeySelector::label(label), Usage::Sign), expected);
    }
    for (label, expected, attribute) in [
        ("both uses", "CKA_DERIVE is true", Attribute::Derive(true)),
        ("no use", "CKA_SIGN is false", Attribute::Sign(false)),
        ("decrypts", "CKA_DECRYPT is true", Attribute::Decrypt(true)),
        ("unwraps", "CKA_UNWRAP is true", Attribute::Unwrap(true)),
        ("recovers", "CKA_SIGN_RECOVER is true", Attribute::SignRecover(true)),
    ] {
        let pair = make_pair(&session, b"12345678", label, &[attribute]);
        name_by_kid(&session, pair);
        let refused = EcKey::load(&token, &KeySelector::label(label), Usage::Sign).unwrap_err();
        assert!(refused.to_string().ends_with(&format!("the required use: {expected}")), "{refused}");
    }
    make_pair(&session, b"87654321", "id", &[]);
    assert_defect(EcKey::load(&token, &KeySelector::label("id"), Usage::Sign), KeyDefect::Id);
    let [public, _] = make_pair(&session, b"nopublic", "no public half", &[]);
    session.destroy_object(public).unwrap();
    let refused = EcKey::load(&token, &KeySelector::label("no public half"), Usage::Sign);
    assert!(matches!(refused, Err(Error::WrongKey(KeyDefect::PublicKey | KeyDefect::Id))), "{refused:?}");

    let twins = [make_pair(&session, b"a", "twins", &[]), make_pair(&session, b"a", "twins", &[])];
    let refused = EcKey::load(&token, &KeySelector::label("twins"), Usage::Sign);
    assert!(matches!(refused, Err(Error::Ambiguous { what: "keys", count: 2 })), "{refused:?}");
    let kid = name_by_kid(&session, twins[0]);
    EcKey::load(&token, &KeySelector::kid(kid), Usage::Sign).unwrap();

    let listed = token.keys().unwrap();
    assert_eq!(listed.len(), 14);
    assert_eq!(listed.iter().filter(|key| key.defect.is_none()).count(), 2, "{listed:?}");
}

fn a_key_with_an_id_of_any_length_or_none_is_used_with_the_kid_of_its_public_half(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let session = fixture.raw_session();
    let names = [(&b"\x01"[..], "one"), (b"\x02\x03", "two"), (&[7; 20], "twenty"), (b"", "none")];
    for (id, label) in names {
        make_pair(&session, id, label, &[]);
    }
    for (id, label) in names {
        let key = EcKey::load(&token, &KeySelector::label(label), Usage::Sign).unwrap();
        assert_eq!(key.kid(), key.verifying_key().unwrap().kid());
        sign(&key, "before").unwrap();
        if !id.is_empty() {
            let id: String = id.iter().map(|byte| format!("%{byte:02X}")).collect();
            let uri = KeyUri::parse(&format!("pkcs11:token=plant;id={id}")).unwrap();
            assert_eq!(EcKey::load(&token, &KeySelector::from(&uri), Usage::Sign).unwrap().kid(), key.kid());
        }
        // It is found again after a login.
        fixture.fault("close_all", "");
        sign(&key, "after").unwrap();
    }
    let listed = token.keys().unwrap();
    assert!(listed.iter().all(|key| key.defect.is_none() && key.kid.is_some()), "{listed:?}");
}

/// The hidden attributes are CKA_DECRYPT, CKA_UNWRAP and CKA_PRIVATE.
fn a_key_whose_uses_the_token_does_not_report_is_rejected(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    EcKey::generate(&token, Usage::Sign, "sign").unwrap();
    EcKey::generate(&token, Usage::Agree, "agree").unwrap();
    WrappingKey::generate(&token, "kek").unwrap();
    MacKey::generate(&token, "mac").unwrap();
    let label = KeySelector::label;

    for (hidden, expected) in [
        ("0x105", "CKA_DECRYPT is not reported"),
        ("0x107", "CKA_UNWRAP is not reported"),
        ("0x2", "CKA_PRIVATE"),
    ] {
        fixture.fault("hidden", hidden);
        let refused = [
            EcKey::load(&token, &label("sign"), Usage::Sign).map(drop),
            EcKey::load(&token, &label("agree"), Usage::Agree).map(drop),
            MacKey::load(&token, &label("mac")).map(drop),
        ];
        for refused in refused {
            assert!(refused.unwrap_err().to_string().contains(expected), "{expected}");
        }
        let refused = WrappingKey::load(&token, &label("kek"));
        assert!(matches!(refused, Err(Error::WrongKey(_))), "{refused:?}");
    }
    fixture.mend("hidden");
    WrappingKey::load(&token, &label("kek")).unwrap();
}

fn an_extractable_key_is_accepted_only_if_the_settings_allow_it(fixture: &Fixture) {
    let token = fixture.open(Settings::new().allow_extractable(true));
    let session = fixture.raw_session();
    let pair = make_pair(&session, b"12345678", "old", &[Attribute::Extractable(true)]);
    name_by_kid(&session, pair);

    let key = EcKey::load(&token, &KeySelector::label("old"), Usage::Sign).unwrap();
    sign(&key, "text").unwrap();
    fixture.fault("close_all", "");
    sign(&key, "after").unwrap();
}

fn a_token_that_assigns_ids_itself_is_used_only_if_the_settings_allow_it(fixture: &Fixture) {
    fixture.init();
    fixture.fault("read_only", "");
    let strict = Token::open(&fixture.uri(), Settings::new()).unwrap();
    let refused = EcKey::generate(&strict, Usage::Sign, "orders");
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    assert!(strict.keys().unwrap().is_empty(), "an unusable key was kept");

    let token = Token::open(&fixture.uri(), Settings::new().allow_other_ids(true)).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let same = EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign).unwrap();
    assert_eq!(key.kid(), same.kid());
    let listed = token.keys().unwrap();
    assert!(
        listed.len() == 1 && listed[0].defect.is_none() && listed[0].kid == Some(key.kid()),
        "{listed:?}"
    );
    fixture.fault("close_all", "");
    sign(&key, "after").unwrap();
    assert_defect(EcKey::load(&strict, &KeySelector::label("orders"), Usage::Sign), KeyDefect::Id);
}

fn generated_keys_have_one_use_and_have_never_left_the_token(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    EcKey::generate(&token, Usage::Sign, "sign").unwrap();
    EcKey::generate(&token, Usage::Agree, "agree").unwrap();
    MacKey::generate(&token, "mac").unwrap();
    WrappingKey::generate(&token, "kek").unwrap();
    import_mac_key(fixture, KeyId::from_bytes([0x4d; 8]), &[0x5c; 32]);

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
            let allows = shown.iter().any(|attribute| {
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
            assert_eq!(allows, allowed.contains(&used), "{label}, {class}: {used:?}");
        }
    }
}

on_every_token! {
    keys_with_unsuitable_attributes_are_rejected,
    a_key_whose_uses_the_token_does_not_report_is_rejected,
    a_key_with_an_id_of_any_length_or_none_is_used_with_the_kid_of_its_public_half,
    an_extractable_key_is_accepted_only_if_the_settings_allow_it,
    a_token_that_assigns_ids_itself_is_used_only_if_the_settings_allow_it,
    generated_keys_have_one_use_and_have_never_left_the_token,
}
