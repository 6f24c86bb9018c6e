//! A change of one key of the draft, and which changes are allowed.

use serde_json::{Value, json};
use taskseal::audit::KeysetChange;
use taskseal::keys::StateChange;
use taskseal_core::KeyId;
use taskseal_core::keyset::signed::KeyState;

use crate::cmd::keyset::draft::Draft;
use crate::cmd::keyset::signed::shown;
use crate::failure::Failure;
use crate::output::json::nested;

/// A change of one key.
pub(in crate::cmd::keyset) struct Changed {
    pub(in crate::cmd::keyset) kid: KeyId,
    pub(super) from: KeyState,
    /// `None` for an entry that is removed.
    pub(super) to: Option<KeyState>,
    pub(super) accept_until: Option<u64>,
}

impl Changed {
    /// Returns what the audit log records.
    pub(in crate::cmd::keyset) const fn recorded(&self) -> KeysetChange {
        match self.to {
            Some(KeyState::Primary) => KeysetChange::Activate,
            Some(KeyState::Retiring) => KeysetChange::Retire,
            Some(KeyState::Disabled) => KeysetChange::Disable,
            Some(KeyState::Compromised) => KeysetChange::Revoke,
            Some(KeyState::Destroyed) => KeysetChange::Destroy,
            None => KeysetChange::Remove,
            Some(_) => KeysetChange::Enable,
        }
    }

    pub(in crate::cmd::keyset) fn line(&self) -> String {
        let to = self.to.map_or("removed", KeyState::name);
        let until = self.accept_until.filter(|_| self.to == Some(KeyState::Retiring));
        let until = until.map_or_else(String::new, |until| format!(", accepted until {}", shown(until)));
        format!("{}  {} -> {to}{until}\n", self.kid, self.from)
    }

    pub(in crate::cmd::keyset) fn object(&self) -> Value {
        let mut members = vec![
            ("kid", json!(self.kid.to_string())),
            ("from", json!(self.from.name())),
            ("to", json!(self.to.map(KeyState::name))),
        ];
        members.extend(self.accept_until.map(|until| ("accept_until", json!(shown(until)))));
        nested(members)
    }
}

/// Changes a key of the draft, with further changes of its times.
pub(in crate::cmd::keyset) fn changed(
    draft: &mut Draft,
    kid: KeyId,
    to: KeyState,
    times: impl FnOnce(&mut StateChange),
) -> Result<Changed, Failure> {
    let record = draft.record(kid)?;
    let from = record.state();
    if from == to || !from.can_become(to) {
        return Err(not_allowed(kid, from, to));
    }
    let mut change = StateChange {
        state: to,
        since: draft.now,
        use_from: record.use_from(),
        sign_until: record.sign_until(),
        accept_until: record.accept_until(),
    };
    times(&mut change);
    draft.file.change(kid, &change).map_err(Failure::keyring)?;
    Ok(Changed { kid, from, to: Some(to), accept_until: change.accept_until })
}

pub(super) fn not_allowed(kid: KeyId, from: KeyState, to: KeyState) -> Failure {
    let failure = Failure::usage(format!("key {kid} is {from} and cannot become {to}"));
    let hint = match (from, to) {
        (from, to) if from == to => "nothing has to change".to_owned(),
        (KeyState::Destroyed, _) => {
            "generate and add another key: `taskseal keygen`, `taskseal keyset add`".to_owned()
        }
        (KeyState::Compromised, _) => format!("add another key; then `taskseal keyset destroy {kid}`"),
        (_, KeyState::Destroyed) => format!("disable it first: `taskseal keyset disable {kid}`"),
        (_, KeyState::Retiring) => {
            format!("only a primary key retires; `taskseal keyset disable {kid}` ends this one")
        }
        (_, KeyState::Primary) => format!(
            "`taskseal keyset enable {kid}`; after hosts have fetched the next keyset, `taskseal keyset activate {kid}`"
        ),
        _ => format!("`taskseal keyset disable {kid}`, then `taskseal keyset enable {kid} --state {to}`"),
    };
    failure.hint(hint)
}
