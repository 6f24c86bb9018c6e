//! Sets of suites, names of suites.

use super::*;

#[test]
fn a_set_contains_what_was_put_in() {
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
fn names_and_suites_are_one_to_one() {
    for suite in Suite::ALL {
        assert_eq!(Suite::from_name(suite.name()), Some(suite));
    }
    assert_eq!(["", "s", "B", "sp", "SP "].map(Suite::from_name), [None; 5]);
    assert_eq!(Suite::ALL.map(Suite::encrypts), [false, false, true, true, true]);
}
