//! What the replay ledger has recorded of a task.

use sha2::{Digest, Sha256};
use taskseal::config::Config;
use taskseal::replay::{Recorded, RecordedState};
use taskseal_core::Refusal;
use taskseal_core::claims::Claims;

use super::Check;
use crate::cmd::explain::source::Source;
use crate::time_arg;

pub(super) fn check(config: &Config, claims: &Claims<'_>, source: &Source) -> Check {
    const NAME: &str = "ledger";
    let required = "has not run, and has an attempt left";
    let ledger = match config.open_ledger() {
        Ok(ledger) => ledger,
        Err(error) => return Check::unknown(NAME, error.to_string(), required),
    };
    let found = match ledger.look_up(claims.issuer.as_str(), claims.task_id.as_bytes()) {
        Ok(found) => found,
        Err(error) => return Check::unknown(NAME, error.to_string(), required),
    };
    let Some(Recorded { digest, state, attempts, .. }) = found else {
        return Check::new(NAME, true, Refusal::Replayed, "never seen", required);
    };
    let most = claims.attempts.map_or_else(|| "the worker's default".to_owned(), |most| most.to_string());
    let found = format!("{}, {attempts} of {most} attempts", state.name());
    if digest != <[u8; 32]>::from(Sha256::digest(source.seal())) {
        return Check::new(NAME, false, Refusal::Conflict, "another envelope with this id", required);
    }
    if let (RecordedState::Finished | RecordedState::Done, Some(at)) = (state, source.completed()) {
        let found = at.map_or(found.clone(), |at| format!("{found}, at {} by the queue", time_arg::show(at)));
        return Check::ran(NAME, found, required);
    }
    let is_used_up = claims.attempts.is_some_and(|most| attempts >= u32::from(most));
    let refusal = match state {
        RecordedState::Done => Some(Refusal::Replayed),
        RecordedState::Waiting if is_used_up => Some(Refusal::AttemptsExhausted),
        _ => None,
    };
    Check::new(NAME, refusal.is_none(), refusal.unwrap_or(Refusal::Replayed), found, required)
}
