//! The steps of a rotation: which key is where, what is due, and what waits.

use serde_json::{Value, json};
use taskseal::audit::{KeysetChange, OperatorAction};
use taskseal::keys::Record;
use taskseal_core::KeyId;
use taskseal_core::keyset::signed::KeyState;

use super::{Args, generate};
use crate::cmd::keyset::change::activate::{self, activate, predecessor};
use crate::cmd::keyset::change::{Changed, changed, destroy, disable};
use crate::cmd::keyset::draft::{Draft, Signed, read_signed, verify_signed};
use crate::failure::Failure;
use crate::output::json::nested;
use crate::trail::Trail;

/// A step of a rotation.
pub(super) enum Step {
    /// The draft was changed.
    Taken(Changed),
    /// A new key was generated and added.
    Generated(KeyId),
    /// The key waits for a reason.
    Waiting { kid: KeyId, verb: &'static str, reason: String },
    /// A key has to be generated where it is used.
    Generate { command: String, add: String },
}

impl Step {
    pub(super) const fn is_taken(&self) -> bool {
        matches!(self, Self::Taken(_) | Self::Generated(_))
    }

    /// Returns what the audit log records, if the draft was changed.
    pub(super) fn recorded(&self) -> Option<OperatorAction> {
        let (change, kid) = match self {
            Self::Taken(change) => (change.recorded(), change.kid),
            Self::Generated(kid) => (KeysetChange::Add, *kid),
            Self::Waiting { .. } | Self::Generate { .. } => return None,
        };
        Some(OperatorAction::Keyset { change, kid: Some(kid.to_string()) })
    }

    /// Returns the commands that an operator runs: the first on the host that uses the key, the second where the draft is.
    pub(super) fn commands(&self) -> Vec<String> {
        match self {
            Self::Generate { command, add } => vec![command.clone(), add.clone()],
            _ => Vec::new(),
        }
    }

    pub(super) fn line(&self) -> String {
        match self {
            Self::Taken(change) => change.line(),
            Self::Generated(kid) => format!("{kid}  generated and staged\n"),
            Self::Waiting { kid, verb, reason } => format!("{kid}  waits to {verb}: {reason}\n"),
            Self::Generate { .. } => {
                "generate the next key on the host that uses it; carry its entry here and add it\n".to_owned()
            }
        }
    }

    pub(super) fn object(&self) -> Value {
        match self {
            Self::Taken(change) => change.object(),
            Self::Generated(kid) => nested(vec![("kid", json!(kid.to_string())), ("to", json!("staged"))]),
            Self::Waiting { kid, verb, reason } => nested(vec![
                ("kid", json!(kid.to_string())),
                ("waits_to", json!(verb)),
                ("reason", json!(reason)),
            ]),
            Self::Generate { command, add } => {
                nested(vec![("generate", json!(command)), ("add", json!(add))])
            }
        }
    }
}

/// What is due for a key.
enum Due {
    Activate,
    Disable,
    Destroy,
}

impl Due {
    fn of(state: KeyState) -> Option<Self> {
        match state {
            KeyState::Staged => Some(Self::Activate),
            KeyState::Retiring => Some(Self::Disable),
            KeyState::Disabled | KeyState::Compromised => Some(Self::Destroy),
            _ => None,
        }
    }

    const fn verb(&self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Disable => "disable",
            Self::Destroy => "destroy",
        }
    }

    /// Returns why the step has to wait.
    fn reason(&self, draft: &Draft, signed: &Signed<'_>, record: &Record) -> Option<String> {
        match self {
            Self::Activate => activate::waiting(draft, signed, record).reason(),
            Self::Destroy => destroy::waiting(draft, signed, record).reason(),
            Self::Disable => disable::waiting(draft, signed, record).reason(),
        }
    }

    fn take(&self, draft: &mut Draft, kid: KeyId) -> Result<Vec<Changed>, Failure> {
        match self {
            Self::Activate => {
                let old = predecessor(draft, draft.record(kid)?)?;
                activate(draft, kid, old)
            }
            Self::Disable => changed(draft, kid, KeyState::Disabled, |_| {}).map(|change| vec![change]),
            Self::Destroy => changed(draft, kid, KeyState::Destroyed, |_| {}).map(|change| vec![change]),
        }
    }
}

/// Takes the steps that are due for a group of keys, and begins a rotation if none is in progress.
pub(super) fn take(
    args: &Args,
    draft: &mut Draft,
    group: &[KeyId],
    trail: &Trail,
) -> Result<Vec<Step>, Failure> {
    let bytes = read_signed(&draft.file)?;
    let signed = verify_signed(&draft.file, bytes.as_deref())?;
    let states: Vec<_> = group.iter().filter_map(|kid| draft.file.record(*kid)).map(Record::state).collect();
    let begins = begins(args, draft, group, &states);
    let mut steps = Vec::new();
    for kid in group {
        // An activation retires the key that it replaces: that one has no other step in the same keyset.
        let is_changed = |step: &Step| matches!(step, Step::Taken(change) if change.kid == *kid);
        if steps.iter().any(is_changed) {
            continue;
        }
        let record = draft.record(*kid)?;
        let Some(due) = Due::of(record.state()) else { continue };
        match due.reason(draft, &signed, record) {
            Some(reason) => steps.push(Step::Waiting { kid: *kid, verb: due.verb(), reason }),
            None => steps.extend(due.take(draft, *kid)?.into_iter().map(Step::Taken)),
        }
    }
    if let Some(model) = begins {
        steps.push(generate::next_key(args, draft, model, trail)?);
    }
    Ok(steps)
}

/// Returns the primary key that a new one replaces, if a rotation begins: none has begun, and with `--every` its time has come.
fn begins(args: &Args, draft: &Draft, group: &[KeyId], states: &[KeyState]) -> Option<KeyId> {
    let in_progress = match args.every {
        Some(_) => states.contains(&KeyState::Staged),
        None => states.iter().any(|state| Due::of(*state).is_some()),
    };
    let records = group.iter().filter_map(|kid| draft.file.record(*kid));
    let primary = records.filter(|record| record.state() == KeyState::Primary);
    let newest = primary.max_by_key(|record| record.since()).filter(|_| !in_progress)?;
    let is_due = match (args.every, newest.since()) {
        (Some(every), Some(since)) => since.saturating_add(every.as_secs()) <= draft.now,
        _ => true,
    };
    is_due.then(|| newest.kid())
}
