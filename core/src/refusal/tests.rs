//! Stable, distinct, well-formed and documented codes.

use super::*;

const SPECIFICATION: &str = include_str!("../../docs/envelope.md");

#[test]
fn every_code_has_its_section_in_the_specification_in_order() {
    let sections = SPECIFICATION.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    assert!(sections.eq(Refusal::ALL.iter().map(|refusal| refusal.code())));
}

#[test]
fn codes_are_lower_case_words_and_lead_back_to_their_refusal() {
    for refusal in Refusal::ALL {
        let code = refusal.code();
        assert!(code.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()), "{code}");
        assert_eq!(Refusal::from_code(code), Some(*refusal));
    }
    assert_eq!(["", "Expired", "expired ", "unknown"].map(Refusal::from_code), [None; 4]);
}
