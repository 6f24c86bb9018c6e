//! Recipients of encrypted bodies (suite SP): a key that the configuration names, or the one that the keyset chooses.

use std::cmp::Reverse;
use std::fmt;
use std::path::{Path, PathBuf};

use taskseal_core::keys::AgreementPublicKey;
use taskseal_core::{Audience, Issuer, KeyId, Kind, NameSet, TaskType};

use super::error::KeyError;
use super::keyring::Keyring;
use super::record::{KeysetKey, Record, kind_word};
use super::reference::KeyRef;
use crate::file_error::{FileError, Position};
use crate::time::unix_seconds;

#[cfg(test)]
mod tests;

/// The recipient that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRecipient {
    kid: KeyId,
    /// An error at the field that names it.
    field: Option<FileError>,
}

impl NamedRecipient {
    /// Creates the name of a recipient.
    #[must_use]
    pub const fn new(kid: KeyId) -> Self {
        Self { kid, field: None }
    }

    /// Sets the field that names it, for messages.
    pub(crate) fn in_field(self, field: FileError) -> Self {
        Self { field: Some(field), ..self }
    }

    /// Returns where it is named, for messages: the field, or else the keyset.
    fn place(&self, keyset: &Path) -> KeyRef {
        let of = |name: String| KeyRef::new("recipient", self.kid.to_string(), name);
        let Some(fault) = &self.field else { return of(keyset.display().to_string()) };
        let name = fault.file.display().to_string();
        let place = of(fault
            .position
            .map_or(name.clone(), |Position { line, column }| format!("{name}:{line}:{column}")));
        match &fault.field {
            Some(field) => place.with_field(field),
            None => place,
        }
    }
}

/// The keyset has no key to which a body could be encrypted now: nothing was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoRecipient {
    /// Whether a task or a result was to be sealed.
    pub kind: Kind,
    /// Issuer of the task, or of the request of the result.
    pub issuer: String,
    /// Type of the task.
    pub task_type: String,
    /// Deployment and queue of the task.
    pub audience: String,
    /// The keyset file.
    pub keyset: PathBuf,
}

impl NoRecipient {
    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let field = if self.kind == Kind::Result { "result_recipient" } else { "recipient" };
        format!(
            "give a primary ECDH-ES key with `use = \"{}\"` matching `issuers`, `types` and `audiences` in {}, or name a key in \
             `{field}`",
            kind_word(self.kind),
            self.keyset.display()
        )
    }
}

impl fmt::Display for NoRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, issuer, task_type, audience, .. } = self;
        let whose = if *kind == Kind::Result { "of requests by" } else { "by" };
        write!(
            f,
            "the keyset has no recipient now for {}s {whose} issuer {issuer} of type {task_type} for {audience}",
            kind_word(*kind)
        )
    }
}

impl std::error::Error for NoRecipient {}

impl Keyring {
    /// Returns the public key of a recipient to whom `kind` may be encrypted now.
    pub(super) fn recipient(
        &self,
        named: &NamedRecipient,
        kind: Kind,
    ) -> Result<AgreementPublicKey, KeyError> {
        let (kid, keyset) = (named.kid, self.file().display());
        let fault = |message: String, hint: String| {
            Err(KeyError::not_allowed(&named.place(self.file()), message).hint(hint))
        };
        if let Err(error) = self.check_in_force(unix_seconds()) {
            return fault(error.message.clone(), error.hint.clone());
        }
        let Some(record) = self.record(kid) else {
            let hint = "add its [[key]] entry, or name a recipient of the keyset".to_owned();
            return fault(format!("key {kid} is not in {keyset}"), hint);
        };
        let KeysetKey::EcdhEs(key) = record.key() else {
            let found = record.algorithm_name();
            return fault(
                format!("a recipient must be an ECDH-ES key, found {found}: key {kid} in {keyset}"),
                "name the kid of a key that `taskseal keygen receive` generated".to_owned(),
            );
        };
        match record.may_seal(kind, unix_seconds()) {
            Ok(()) => Ok(*key),
            Err(reason) => fault(
                format!("key {kid} {reason} in {keyset}"),
                format!("name a primary ECDH-ES key with `use = \"{}\"`", kind_word(kind)),
            ),
        }
    }

    /// Returns the public key to which the keyset says that a body is encrypted now: that of a task by `issuer`, or of the result
    /// of its request. The rule is that of [`CurrentKeys::recipient_for`].
    ///
    /// [`CurrentKeys::recipient_for`]: taskseal_core::keyset::signed::CurrentKeys::recipient_for
    pub(super) fn recipient_for(
        &self,
        kind: Kind,
        issuer: Issuer<'_>,
        task_type: TaskType<'_>,
        audience: Audience<'_>,
    ) -> Result<AgreementPublicKey, NoRecipient> {
        let matches = |record: &Record| {
            let role = record.to_entry().role;
            role.is_some_and(|role| role.matches(kind, issuer, task_type, audience))
        };
        self.recipients(kind)
            .filter(|(record, _)| matches(record))
            // The first of several is the one with the lowest kid.
            .min_by_key(|(record, _)| Reverse(record.use_from().unwrap_or(0)))
            .map(|(_, key)| *key)
            .ok_or_else(|| NoRecipient {
                kind,
                issuer: issuer.to_string(),
                task_type: task_type.to_string(),
                audience: audience.to_string(),
                keyset: self.file().to_owned(),
            })
    }

    /// Returns whether there is a key to encrypt `kind` of some of these types and an audience to now, for some issuer.
    pub(super) fn has_recipient_for(&self, kind: Kind, types: NameSet<'_>, audience: &str) -> bool {
        self.recipients(kind).any(|(record, _)| {
            let overlaps = |pattern: &str| record.types().patterns().any(|other| overlap(pattern, other));
            !record.issuers.is_empty()
                && record.audiences().contains(audience)
                && types.patterns().any(overlaps)
        })
    }

    /// Returns the keys to which `kind` may be encrypted now, by ascending kid.
    fn recipients(&self, kind: Kind) -> impl Iterator<Item = (&Record, &AgreementPublicKey)> {
        let now = unix_seconds();
        let is_in_force = self.check_in_force(now).is_ok();
        self.records().filter(move |_| is_in_force).filter_map(move |record| match record.key() {
            KeysetKey::EcdhEs(key) if record.may_seal(kind, now).is_ok() => Some((record, key)),
            _ => None,
        })
    }
}

/// Returns whether a name matches both patterns.
fn overlap(pattern: &str, other: &str) -> bool {
    match (pattern.strip_suffix('*'), other.strip_suffix('*')) {
        (None, None) => pattern == other,
        (Some(start), None) => other.starts_with(start),
        (None, Some(start)) => pattern.starts_with(start),
        (Some(start), Some(other)) => start.starts_with(other) || other.starts_with(start),
    }
}
