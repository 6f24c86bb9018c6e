//! `taskseal quarantine show`.

use serde_json::json;
use taskseal::quarantine::{Entry, EntryId};
use taskseal_core::{KeyId, Refusal};

use super::Store;
use crate::failure::Failure;
use crate::output::json::{Member, hex};
use crate::output::text;
use crate::refusal_hint::{UNUSABLE_KEY, refusal_hint_of};
use crate::time_arg;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Number of the entry
    number: i64,
}

pub(super) fn run(store: &Store<'_>, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let (entry, _) = store.find(EntryId(args.number))?;
    if ui.json() { ui.object(members(&entry)) } else { ui.text(&text::members(&members(&entry))) }
}

/// Describes an entry.
pub(super) fn members(entry: &Entry) -> Vec<Member> {
    let mut members = vec![("number", json!(entry.id.0)), ("code", json!(entry.code))];
    if let Some(refusal) = Refusal::from_code(&entry.code) {
        members.push(("meaning", json!(refusal.to_string())));
        let is_unusable = refusal == Refusal::UnknownKey && entry.kid_known;
        let hint = if is_unusable { UNUSABLE_KEY } else { refusal_hint_of(refusal, &entry.detail) };
        members.push(("next_step", json!(hint)));
    }
    members.push(("detail", json!(entry.detail)));
    if let Some(kid) = entry.kid {
        members.push(("kid", json!(KeyId::from_bytes(kid).to_string())));
        members.push(("kid_known", json!(entry.kid_known)));
    }
    members.extend([
        ("queue", json!(entry.queue)),
        ("id", json!(entry.task_id)),
        ("unverified_type", json!(entry.unverified_type)),
        ("unverified_issuer", json!(entry.unverified_issuer)),
        ("digest", json!(hex(&entry.digest))),
        ("first_seen", json!(time_arg::known(entry.first_seen_at))),
        ("last_seen", json!(time_arg::known(entry.last_seen_at))),
        ("count", json!(entry.count)),
        ("disposition", json!(entry.disposition.as_str())),
        ("message_bytes", json!(entry.payload_len)),
    ]);
    members.retain(|(_, value)| !value.is_null());
    members
}
