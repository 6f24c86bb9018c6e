//! Changes of the state of a key in the draft.

pub(super) mod activate;
mod changed;
pub(super) mod destroy;
pub(super) mod disable;
pub(super) mod obstacle;

use std::path::PathBuf;

use serde_json::json;
use taskseal::keys::{Record, StateChange};
use taskseal_core::KeyId;
use taskseal_core::keyset::signed::KeyState;

pub(super) use self::changed::{Changed, changed};

use self::changed::not_allowed;
use super::draft::{Draft, KEYSET, entry, read_signed, verify_signed};
use crate::failure::Failure;
use crate::output::shell::shell_word;
use crate::ui::Ui;

/// Options of every change of a key.
#[derive(Debug, clap::Args)]
pub(super) struct ChangeArgs {
    /// Key identifier
    #[arg(value_name = "KID", value_parser = kid)]
    kid: KeyId,
    /// Draft of the keyset
    #[arg(long, value_name = "FILE", default_value = KEYSET)]
    keyset: PathBuf,
    /// Change it nevertheless, where a command refuses for now; each reason is printed
    #[arg(long)]
    force: bool,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct EnableArgs {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    /// New state: staged or retiring [default: retiring if the key has an end of acceptance, else staged]
    // Not primary: hosts refuse what the key seals until they have fetched the next keyset, so that `activate` waits for them.
    #[arg(long, value_name = "STATE", value_parser = ["staged", "retiring"])]
    state: Option<String>,
}

pub(super) fn kid(text: &str) -> Result<KeyId, String> {
    KeyId::parse_hex(text).map_err(|_| "expected 16 hex digits; `taskseal keyset show` lists them".to_owned())
}

impl ChangeArgs {
    /// Returns the key; `None` if nothing is to be changed.
    pub(super) fn changed_key(&self) -> Option<KeyId> {
        (!self.dry_run).then_some(self.kid)
    }

    fn open(&self) -> Result<Draft, Failure> {
        Draft::open(&self.keyset)
    }

    /// Stores the draft and prints what changed and what comes next.
    fn finish(
        &self,
        draft: &mut Draft,
        changes: &[Changed],
        more: &[String],
        ui: &Ui,
    ) -> Result<(), Failure> {
        draft.store(self.dry_run)?;
        let next: Vec<_> = std::iter::once(draft.next()).chain(more.iter().cloned()).collect();
        if ui.json() {
            let changes: Vec<_> = changes.iter().map(Changed::object).collect();
            return ui.object(vec![
                ("changed", json!(changes)),
                ("dry_run", json!(self.dry_run)),
                ("next", json!(next)),
            ]);
        }
        changes.iter().try_for_each(|change| ui.text(&change.line()))?;
        ui.note(&format!(
            "{}: {}",
            if self.dry_run { "changed nothing; next would be" } else { "next" },
            next.join("; ")
        ));
        Ok(())
    }

    /// Returns the command that continues with this key.
    fn command(&self, verb: &str) -> String {
        let mut command = format!("taskseal keyset {verb} {}", self.kid);
        if self.keyset.as_os_str() != KEYSET {
            command.push_str(&format!(" --keyset {}", shell_word(&self.keyset.to_string_lossy())));
        }
        command
    }

    /// Changes the state alone; the times stay.
    fn simple(&self, mut draft: Draft, to: KeyState, more: &[String], ui: &Ui) -> Result<(), Failure> {
        let change = changed(&mut draft, self.kid, to, |_| {})?;
        self.finish(&mut draft, &[change], more, ui)
    }
}

/// Sets the times of a key that retires now: what it sealed until every producer has changed over is accepted until it has arrived.
fn retire_now(change: &mut StateChange, now: u64, arrival: u64) {
    // A key that was not used yet has sealed nothing.
    change.use_from = change.use_from.filter(|from| *from < now);
    let accept_until = now.saturating_add(arrival);
    change.accept_until = Some(change.accept_until.map_or(accept_until, |until| until.min(accept_until)));
    change.sign_until = Some(change.sign_until.map_or(now, |until| until.min(now))).min(change.accept_until);
}

/// Returns the time after which nothing arrives that a key sealed which retires now, in seconds.
fn arrival(draft: &Draft) -> u64 {
    draft.distribution().saturating_add(draft.acceptance())
}

/// Returns the other primary keys with the same purpose and the same rights.
fn same_purpose(draft: &Draft, record: &Record) -> Vec<KeyId> {
    let is_other = |other: &&Record| {
        other.kid() != record.kid()
            && other.state() == KeyState::Primary
            && other.key().algorithm() == record.key().algorithm()
            && other.kind() == record.kind()
            && rights(other) == rights(record)
    };
    draft.file.records().filter(is_other).map(Record::kid).collect()
}

/// Returns the rights of a key, in an order that does not depend on that of the file.
pub(super) fn rights(record: &Record) -> [Vec<&str>; 3] {
    let (issuers, types, audiences) = (record.issuers(), record.types(), record.audiences());
    [issuers.as_str(), types.as_str(), audiences.as_str()].map(|patterns| {
        let mut patterns: Vec<_> = patterns.split(' ').collect();
        patterns.sort_unstable();
        patterns
    })
}

/// Warns if a key that seals has no other beside it.
fn warn_if_only(draft: &Draft, record: &Record, ui: &Ui) {
    if record.state() == KeyState::Primary && same_purpose(draft, record).is_empty() {
        ui.warn("no other primary key has the same purpose and rights: nothing will be sealed in its place");
    }
}

pub(super) fn retire(args: &ChangeArgs, ui: &Ui) -> Result<(), Failure> {
    let mut draft = args.open()?;
    let record = draft.record(args.kid)?;
    warn_if_only(&draft, record, ui);
    let (now, arrival) = (draft.now, arrival(&draft));
    let change =
        changed(&mut draft, args.kid, KeyState::Retiring, |change| retire_now(change, now, arrival))?;
    args.finish(&mut draft, &[change], &[args.command("disable")], ui)
}

pub(super) fn enable(args: &EnableArgs, ui: &Ui) -> Result<(), Failure> {
    let draft = args.change.open()?;
    let record = draft.record(args.change.kid)?;
    if record.state() != KeyState::Disabled {
        return Err(Failure::usage(format!(
            "key {} is {} and not disabled",
            args.change.kid,
            record.state()
        ))
        .hint(not_enabled(args.change.kid, record.state())));
    }
    let default = if record.accept_until().is_some() { KeyState::Retiring } else { KeyState::Staged };
    let state = args.state.as_deref().and_then(KeyState::from_name).unwrap_or(default);
    let mut draft = draft;
    let change = changed(&mut draft, args.change.kid, state, |times| {
        // A key in this state does not seal. Without the time, `activate` waits until every host accepts the key again.
        if state == KeyState::Retiring {
            times.sign_until = None;
        }
    })?;
    args.change.finish(&mut draft, &[change], &[], ui)
}

/// Returns what to do instead of enabling a key in this state.
fn not_enabled(kid: KeyId, state: KeyState) -> String {
    match state {
        KeyState::Compromised | KeyState::Destroyed => {
            "it cannot be enabled again: generate and add another key with `taskseal keygen` and `taskseal keyset add`"
                .to_owned()
        }
        KeyState::Primary => "nothing has to change: it seals and is accepted".to_owned(),
        _ => format!("it is accepted; `taskseal keyset activate {kid}` lets it seal"),
    }
}

pub(super) fn revoke(args: &ChangeArgs, ui: &Ui) -> Result<(), Failure> {
    let more = [
        "taskseal keyset publish".to_owned(),
        format!("seal again with another key what it sealed: `taskseal quarantine ls --kid {}`", args.kid),
    ];
    let draft = args.open()?;
    warn_if_only(&draft, draft.record(args.kid)?, ui);
    args.simple(draft, KeyState::Compromised, &more, ui)
}

pub(super) fn remove(args: &ChangeArgs, ui: &Ui) -> Result<(), Failure> {
    let mut draft = args.open()?;
    let from = draft.record(args.kid)?.state();
    let bytes = read_signed(&draft.file)?;
    let signed = verify_signed(&draft.file, bytes.as_deref())?;
    // What was never signed is unknown to every host.
    let is_unknown = draft.file.settings().is_some() && entry(&signed, args.kid).is_none();
    if from != KeyState::Destroyed && !is_unknown {
        return Err(Failure::usage(format!("key {} is {from} and not destroyed", args.kid))
            .hint(format!("`{}` comes first", args.command("destroy"))));
    }
    draft.file.remove(args.kid).map_err(Failure::keyring)?;
    let change = Changed { kid: args.kid, from, to: None, accept_until: None };
    args.finish(&mut draft, &[change], &[], ui)
}
