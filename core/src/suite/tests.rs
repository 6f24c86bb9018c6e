//! Sets and names of suites.

use super::*;

#[test]
fn a_set_contains_the_added_suites() {
    for members in 0..32_u8 {
        let chosen = |index: usize| members & (1 << index) != 0;
        let put = |set: SuiteSet, (index, suite)| if chosen(index) { set.with(suite) } else { set };
        let set = Suite::ALL.into_iter().enumerate().fold(SuiteSet::NONE, put);
        for (index, suite) in Suite::ALL.into_iter().enumerate() {
            assert_eq!(set.contains(suite), chosen(index));
        }
    }
}

#[test]
fn the_default_set_signs_and_encrypts() {
    let set = SuiteSet::SIGNED_AND_ENCRYPTED;
    assert_eq!(Suite::ALL.map(|suite| set.contains(suite)), [false, false, false, true, true]);
    assert_eq!(std::format!("{set:?}"), "{Se, Sp}");
}

#[test]
fn other_texts_than_the_names_are_not_suites() {
    for text in ["", "s", "B", "sp", "SP ", "Sign", "sign ", "sign_encrypt", "sign-encrypt-", "signencryptto"]
    {
        assert_eq!(Suite::from_name(text), None, "{text}");
    }
}

#[test]
fn every_suite_has_two_names() {
    for (suite, short_name, name) in [
        (Suite::S, "S", "sign"),
        (Suite::M, "M", "mac"),
        (Suite::E, "E", "encrypt"),
        (Suite::Se, "SE", "sign-encrypt"),
        (Suite::Sp, "SP", "sign-encrypt-to"),
    ] {
        assert_eq!((suite.short_name(), suite.name()), (short_name, name));
        assert_eq!([short_name, name].map(Suite::from_name), [Some(suite); 2]);
        assert_eq!(std::format!("{suite}"), short_name);
    }
}

#[test]
fn three_suites_encrypt() {
    assert_eq!(Suite::ALL.map(Suite::encrypts), [false, false, true, true, true]);
}
