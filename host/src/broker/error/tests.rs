//! What a broker says reaches logs and terminals through its errors.

use super::*;

#[test]
fn the_words_of_a_broker_are_shown_escaped() {
    let said = || "ERR \u{1b}[2J\nforged line";
    let errors = [
        BrokerError::Unavailable(said().into()),
        BrokerError::Ambiguous(said().into()),
        BrokerError::Full(said().into()),
        BrokerError::Refused(said().into()),
        BrokerError::Corrupt(said().into()),
    ];
    for error in errors {
        let shown = error.to_string();
        assert!(shown.ends_with("ERR \\u{1b}[2J\\nforged line"), "{shown}");
    }
}

#[test]
fn the_words_of_a_broker_are_shown_without_a_full_stop() {
    let said = || "NOAUTH Authentication required.";
    for error in [BrokerError::Unavailable(said().into()), BrokerError::Corrupt(said().into())] {
        assert!(error.to_string().ends_with("required"), "{error}");
    }
}
