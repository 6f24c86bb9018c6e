//! Whether a claimed task may still begin. Between the claim and the handler a token may have kept it waiting for longer than
//! any lease lasts.

use super::event::Event;
use super::heartbeat::{extend_claims, margin};
use super::in_flight::{Fate, Place};
use super::intake::Ruling;
use super::settle::End;
use super::{Phase, Shared};
use crate::replay::TaskKey;
use crate::time::UnixMillis;

/// Asks the ledger, in one call, whether the claims of all that are to run are still ours, and extends them. Whose claim is
/// somebody else's is given back unrun, and so are all if there is no answer. Tells whether there was one.
///
/// Where every key is in memory nothing has waited since the ledger granted the claims, and it is not asked again: another
/// write to disk for every batch would only hear the same. That the claims last is looked at in any case.
pub(super) fn confirm(shared: &Shared, rulings: &mut [Ruling], places: &[Place]) -> bool {
    if !shared.parts.keyring.may_block() {
        return true;
    }
    let mut to_run: Vec<(&mut Ruling, &Place)> =
        rulings.iter_mut().zip(places).filter(|(ruling, _)| matches!(ruling, Ruling::Run(_))).collect();
    let keys: Vec<TaskKey> = to_run.iter().filter_map(|(ruling, _)| ruling.claim()).collect();
    if keys.is_empty() {
        return true;
    }
    let answer = extend_claims(shared, &keys);
    let answered = answer.is_ok();
    let (ours, until) = answer.unwrap_or_else(|error| {
        shared.observe(&Event::StateFailed { error: error.to_string() });
        (Vec::new(), UnixMillis::now())
    });
    let mut ours = ours.into_iter();
    for ((ruling, place), key) in to_run.iter_mut().zip(keys) {
        if ours.next().unwrap_or(false) {
            place.extended(until);
        } else {
            **ruling = Ruling::NotRun(End::GivenBack { claimed: Some(key) });
        }
    }
    answered
}

/// How a claimed task ends that must not begin any more: its lease or claim is lost or about to run out, or the worker is to
/// stop.
pub(super) fn not_any_more(shared: &Shared, place: &Place, key: &TaskKey) -> Option<End> {
    let given_back = || End::GivenBack { claimed: Some(key.clone()) };
    match place.fate() {
        Fate::Lost => Some(End::Lost { key: key.clone(), begun: false }),
        Fate::Cancelled => Some(given_back()),
        Fate::Held if *shared.phase.borrow() != Phase::Running => Some(given_back()),
        Fate::Held if !place.claim_lasts(UnixMillis::now().plus(margin(shared))) => Some(given_back()),
        Fate::Held => None,
    }
}
