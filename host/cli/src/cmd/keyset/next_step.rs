//! What comes next for a key, and when.

use taskseal::keys::Record;
use taskseal_core::keyset::signed::KeyState;

use super::signed::shown;

/// Returns what comes next for a key. `distribution` is the time in which every verifier has fetched a new keyset, in seconds.
pub(super) fn next_step(record: &Record, distribution: u64) -> String {
    let after = |at: Option<u64>| at.map(|at| shown(at.saturating_add(distribution)));
    let from = |verb: &str, at: Option<String>| match at {
        Some(at) => format!("{verb} from {at}"),
        None => verb.to_owned(),
    };
    match record.state() {
        KeyState::Staged => from("activate", after(record.since())),
        KeyState::Primary => match record.sealing_end() {
            u64::MAX => String::new(),
            end => format!("replace before {}", shown(end)),
        },
        KeyState::Retiring => from("disable", after(record.accept_until())),
        KeyState::Disabled => from("destroy", after(record.since().max(record.accept_until()))),
        KeyState::Compromised => from("destroy", after(record.since())),
        KeyState::Destroyed => "remove".to_owned(),
        _ => String::new(),
    }
}
