//! URIs that are refused, and the values of the others.

use std::mem::discriminant;
use std::path::Path;

use taskseal_core::KeyId;

use super::*;
use crate::login::pin_source::InvalidPinSource;

const KEY: &str = "pkcs11:token=t;id=%01";

#[track_caller]
fn refused(text: &str, why: InvalidUri) {
    let error = KeyUri::parse(text).unwrap_err();
    assert_eq!(discriminant(&error), discriminant(&why), "{text}: {error}");
}

#[test]
fn another_scheme_is_refused() {
    for text in ["", "pkcs11", "PKCS11:token=t;id=%01", "file:/key", " pkcs11:token=t;id=%01"] {
        refused(text, InvalidUri::NotPkcs11);
    }
}

#[test]
fn a_uri_that_is_too_long_is_refused() {
    refused(&format!("{KEY};object={}", "a".repeat(5000)), InvalidUri::NotPkcs11);
}

#[test]
fn malformed_attributes_are_refused() {
    for text in [
        "pkcs11:",
        "pkcs11:token",
        "pkcs11:token=t;",
        "pkcs11:token=t;;id=%01",
        "pkcs11:token=t;id=",
        "pkcs11:token=;id=%01",
        "pkcs11:token=t;id=%0",
        "pkcs11:token=t;id=%0g",
        "pkcs11:token=t t;id=%01",
        "pkcs11:token=t;id=%01#fragment",
        "pkcs11:token=%ff;id=%01",
        "pkcs11:token=%0a;id=%01",
        "pkcs11:token=t/t;id=%01",
        "pkcs11:token=t;id=%01?",
        "pkcs11:token=t;id=%01?module-path",
    ] {
        refused(text, InvalidUri::Malformed(String::new()));
    }
}

#[test]
fn unknown_attributes_are_refused() {
    refused("pkcs11:token=t;id=%01;x-vendor=1", InvalidUri::UnknownAttribute(String::new()));
    refused("pkcs11:token=t;id=%01;Token=t", InvalidUri::UnknownAttribute(String::new()));
    refused("pkcs11:token=t;id=%01?token=t", InvalidUri::UnknownAttribute(String::new()));
}

#[test]
fn the_attribute_that_is_wrong_is_named_and_its_value_is_not() {
    for (text, expected) in [
        ("pkcs11:token=t;id=%01;colour=red", "the URI has an unknown attribute: `colour`"),
        ("pkcs11:token=t;object=s\u{fc}d", "the URI has a malformed attribute: `object`"),
        ("pkcs11:token=t;serial=;id=%01", "the URI has a malformed attribute: `serial`"),
        ("pkcs11:token=t;id=%01;id=%01", "the URI has a duplicate attribute: `id`"),
        (
            "pkcs11:token=t;id=%01?x-timeout-ms=1",
            "the URI has a number that is malformed or out of range: `x-timeout-ms`",
        ),
        ("pkcs11:token=t;id=%01?pin-source=env:A&Secret1=2", "the URI has an unknown attribute"),
    ] {
        assert_eq!(KeyUri::parse(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn attributes_that_other_tools_print_are_accepted_and_not_compared() {
    let text = "pkcs11:library-description=SoftHSM;library-manufacturer=S;library-version=2.6;slot-description=a%20b;\
                slot-manufacturer=S;slot-id=7;token=t;id=%01;type=public?x-vendor=1&module-path=/m";
    let uri = KeyUri::parse(text).unwrap();
    assert_eq!(uri.to_string(), "pkcs11:token=t;id=%01;type=public?module-path=/m");
    assert_eq!(TokenUri::parse("pkcs11:token=t;type=public"), Err(InvalidUri::NotAToken));
}

#[test]
fn duplicate_attributes_are_refused() {
    for attribute in ["token=a", "serial=a", "manufacturer=a", "model=a", "object=a", "id=a", "type=private"]
    {
        refused(&format!("pkcs11:{attribute};{attribute}"), InvalidUri::Duplicate(String::new()));
    }
    refused(&format!("{KEY}?module-name=a&module-name=a"), InvalidUri::Duplicate(String::new()));
    refused(&format!("{KEY}?pin-source=env:A&pin-source=env:A"), InvalidUri::Duplicate(String::new()));
}

#[test]
fn a_uri_without_a_token_or_a_key_is_refused() {
    refused("pkcs11:id=%01", InvalidUri::NoToken);
    refused("pkcs11:token=t", InvalidUri::NoKey);
}

#[test]
fn uris_of_other_objects_are_refused() {
    for kind in ["cert", "data", "Private", "secret"] {
        refused(&format!("{KEY};type={kind}"), InvalidUri::NotAPrivateKey);
    }
}

#[test]
fn a_pin_in_a_uri_is_refused_and_not_shown() {
    refused(&format!("{KEY}?pin-value=1234"), InvalidUri::InlinePin);
    refused(&format!("{KEY}?pin-value=%zz"), InvalidUri::InlinePin);
    assert!(!InvalidUri::InlinePin.to_string().contains("1234"));
}

#[test]
fn commands_and_unknown_pin_sources_are_refused() {
    for source in [
        "|cat%20pin",
        "exec:cat",
        "http://h/pin",
        "pin",
        "file:",
        "file:pin",
        "file://host/pin",
        "env:",
        "env:A=B",
    ] {
        refused(&format!("{KEY}?pin-source={source}"), InvalidUri::PinSource);
    }
    for source in ["fd:", "fd:-1", "fd:01", "fd:+1", "cred:", "cred:../x", "cred:a/b", "cred:..", "env:A%20B"]
    {
        refused(&format!("{KEY}?pin-source={source}"), InvalidUri::PinSource);
    }
}

#[test]
fn every_kind_of_pin_source_is_parsed() {
    let source = |text: &str| {
        let uri = KeyUri::parse(&format!("{KEY}?pin-source={text}")).unwrap();
        uri.pin_source().unwrap().clone()
    };
    assert_eq!(source("file:/run/pin"), PinSource::File("/run/pin".into()));
    assert_eq!(source("file:///run/pin"), PinSource::File("/run/pin".into()));
    assert_eq!(source("/run/my%20pin"), PinSource::File("/run/my pin".into()));
    assert_eq!(source("env:PIN"), PinSource::Environment("PIN".to_owned()));
    assert_eq!(source("fd:3"), PinSource::Descriptor(3));
    assert_eq!(source("cred:pin"), PinSource::Credential("pin".to_owned()));
}

#[test]
fn a_pin_source_alone_is_parsed_as_in_a_uri() {
    assert_eq!("file:/run/my pin".parse(), Ok(PinSource::File("/run/my pin".into())));
    for source in ["", "|cat pin", "1234", "file:pin", "file:/run/pin\n", "env:A B"] {
        assert_eq!(source.parse::<PinSource>(), Err(InvalidPinSource), "{source:?}");
    }
}

#[test]
fn every_attribute_is_parsed_and_decoded() {
    let uri = KeyUri::parse(
        "pkcs11:token=plant%20a;serial=0a:1;manufacturer=m&m;model=x;object=orders%2fsign;id=%00%ffA;type=private\
         ?module-path=/usr/lib/softhsm/libsofthsm2.so&module-name=softhsm2",
    )
    .unwrap();

    assert_eq!(uri.token(), Some("plant a"));
    assert_eq!(uri.serial(), Some("0a:1"));
    assert_eq!(uri.manufacturer(), Some("m&m"));
    assert_eq!(uri.model(), Some("x"));
    assert_eq!(uri.object(), Some("orders/sign"));
    assert_eq!(uri.id(), Some(&[0, 0xff, b'A'][..]));
    assert_eq!(uri.module_path().map(AsRef::as_ref), Some(Path::new("/usr/lib/softhsm/libsofthsm2.so")));
    assert_eq!(uri.module_name(), Some("softhsm2"));
    assert_eq!(uri.pin_source(), None);
}

#[test]
fn debug_output_omits_the_pin_source() {
    let uri = KeyUri::parse(&format!("{KEY}?pin-source=file:/run/secret-place")).unwrap();

    assert!(!format!("{uri:?}").contains("secret-place"));
}

#[test]
fn a_token_uri_has_no_key() {
    let uri = TokenUri::parse(
        "pkcs11:serial=1;token=plant%20a?module-path=/m.so&pin-source=fd:3&x-max-sessions=4&x-timeout-ms=250",
    )
    .unwrap();

    assert_eq!((uri.label(), uri.serial()), (Some("plant a"), Some("1")));
    assert_eq!((uri.max_sessions(), uri.timeout_ms()), (Some(4), Some(250)));
    assert_eq!(uri.pin_source(), Some(&PinSource::Descriptor(3)));
    for text in ["pkcs11:token=t;id=%01", "pkcs11:token=t;object=k", "pkcs11:token=t;type=private"] {
        assert_eq!(TokenUri::parse(text), Err(InvalidUri::NotAToken), "{text}");
    }
    assert_eq!(TokenUri::parse("pkcs11:model=m"), Err(InvalidUri::NoToken));
}

#[test]
fn numbers_have_one_spelling_and_bounds() {
    for text in ["x-max-sessions=0", "x-max-sessions=1025", "x-max-sessions=01", "x-max-sessions=%2b1"] {
        refused(&format!("{KEY}?{text}"), InvalidUri::Number(String::new()));
    }
    for text in ["x-timeout-ms=99", "x-timeout-ms=600001", "x-timeout-ms=1s", "x-timeout-ms=-5"] {
        refused(&format!("{KEY}?{text}"), InvalidUri::Number(String::new()));
    }
    refused(&format!("{KEY}?x-timeout-ms=100&x-timeout-ms=100"), InvalidUri::Duplicate(String::new()));
}

#[test]
fn a_relative_module_path_is_refused() {
    refused(&format!("{KEY}?module-path=libsofthsm2.so"), InvalidUri::ModulePath);
    refused(&format!("{KEY}?module-path=../m.so"), InvalidUri::ModulePath);
}

#[test]
fn the_type_is_parsed() {
    assert_eq!(KeyUri::parse(&format!("{KEY};type=secret-key")).unwrap().class(), Some(KeyClass::Secret));
    assert_eq!(KeyUri::parse(&format!("{KEY};type=private")).unwrap().class(), Some(KeyClass::Private));
    assert_eq!(KeyUri::parse(KEY).unwrap().class(), None);
    refused(&format!("{KEY};type=private;type=secret-key"), InvalidUri::Duplicate(String::new()));
}

#[test]
fn a_displayed_uri_parses_to_the_same_value() {
    for text in [
        "pkcs11:token=plant%20a;serial=0a:1;manufacturer=m&m;model=x;id=%00%FF%41;object=orders%2Fsign;type=private\
         ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin&x-max-sessions=3&x-timeout-ms=500",
        "pkcs11:token=a;object=k?module-path=/a%26b&pin-source=env:PIN",
        "pkcs11:serial=1;id=%01?pin-source=fd:3",
        "pkcs11:serial=1;id=%01;type=secret-key?pin-source=cred:pin",
        "pkcs11:token=%C3%A9;object=k",
    ] {
        let uri = KeyUri::parse(text).unwrap();
        assert_eq!(uri.to_string(), text);
        assert_eq!(KeyUri::parse(&uri.to_string()).unwrap(), uri);
    }
    let token = TokenUri::parse("pkcs11:token=a%3Bb?module-path=/m").unwrap();
    assert_eq!(token.to_string(), "pkcs11:token=a%3Bb?module-path=/m");
}

#[test]
fn the_name_for_logs_omits_library_and_pin_source() {
    let uri = KeyUri::parse("pkcs11:token=a;object=k?module-path=/m&pin-source=file:/secret-place").unwrap();
    assert_eq!(uri.name().to_string(), "pkcs11:token=a;object=k");
    assert_eq!(uri.token_uri().name().to_string(), "pkcs11:token=a");
    let kid = KeyId::from_bytes([0, 1, 2, 3, 4, 5, 6, 0xff]);
    assert_eq!(
        KeyUri::new(uri.token_uri().clone(), kid).name().to_string(),
        "pkcs11:token=a;id=%00%01%02%03%04%05%06%FF"
    );
}
