//! Valid names, valid media types, and membership in sets of patterns.

use super::*;

#[test]
fn names_are_printable_ascii_without_space() {
    for byte in 0..=u8::MAX {
        let text = [b'a', byte];
        let Ok(text) = core::str::from_utf8(&text) else { continue };
        assert_eq!(Issuer::new(text).is_ok(), matches!(byte, 0x21..=0x7e), "{byte:#x}");
    }
    for text in ["", " ", "a b", "é", "a\u{200b}", "\u{430}", "a\n", "\0"] {
        assert_eq!(TaskType::new(text), Err(InvalidName));
        assert_eq!(Audience::new(text), Err(InvalidName));
        assert_eq!(Reference::new(text), Err(InvalidName));
        assert_eq!(ContentType::new(text), Err(InvalidName));
    }
}

#[test]
fn names_have_maximum_lengths() {
    let long = "x".repeat(129);
    assert!(Issuer::new(&long[..64]).is_ok() && Issuer::new(&long[..65]).is_err());
    assert!(TaskType::new(&long[..128]).is_ok() && TaskType::new(&long).is_err());
    assert!(Audience::new(&long[..128]).is_ok() && Audience::new(&long).is_err());
    assert!(Reference::new(&long[..64]).is_ok() && Reference::new(&long[..65]).is_err());
}

#[test]
fn a_content_type_has_one_slash_between_two_parts() {
    for text in ["a/b", "application/vnd.a+json", "text/plain;charset=utf-8"] {
        assert!(ContentType::new(text).is_ok(), "{text}");
    }
    for text in ["", "a", "/", "a/", "/a", "a/b/c", "//", "a /b"] {
        assert_eq!(ContentType::new(text), Err(InvalidName), "{text}");
    }
    let long = std::format!("a/{}", "b".repeat(63));
    assert!(ContentType::new(&long[..64]).is_ok() && ContentType::new(&long).is_err());
}

#[test]
fn a_set_contains_its_names_and_beginnings() {
    let set = NameSet::new("  email:*  report:build ");
    for (name, inside) in [
        ("email:deliver", true),
        ("email:", true),
        ("email", false),
        ("Email:deliver", false),
        ("xemail:deliver", false),
        ("report:build", true),
        ("report:build2", false),
        ("report:buil", false),
        ("", false),
    ] {
        assert_eq!(set.contains(name), inside, "{name}");
    }
    assert_eq!(set.patterns().count(), 2);
}

#[test]
fn the_empty_set_contains_nothing_and_the_star_everything() {
    for name in ["", "a", "*"] {
        assert!(!NameSet::NONE.contains(name));
        assert!(!NameSet::new("   ").contains(name));
        assert!(NameSet::ANY.contains(name));
    }
}

#[test]
fn a_star_that_is_not_last_is_literal() {
    let set = NameSet::new("a*b");
    assert!(set.contains("a*b") && !set.contains("axb"));
    assert!(NameSet::new("**").contains("*a") && !NameSet::new("**").contains("a"));
}

#[test]
fn only_spaces_separate_patterns() {
    let set = NameSet::new("a\tb\nc,d");
    assert!(!["a", "b", "c", "d"].iter().any(|name| set.contains(name)));
}
