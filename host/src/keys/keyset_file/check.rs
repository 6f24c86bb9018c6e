//! Rules of an entry that concern several fields, and fields of earlier versions.

use std::path::Path;
use std::sync::Arc;

use taskseal_core::Kind;
use taskseal_core::keyset::signed::KeyState;

use super::{Entry, KeysetContext};
use crate::file_error::{FileError, MAX_LEN};
use crate::file_security;
use crate::keys::record::{KeysetKey, Record};

/// Fields of earlier versions, and what to write instead.
const RENAMED: [(&str, &str); 3] = [
    ("status", "write `state`: \"primary\" for \"active\", \"compromised\" for \"revoked\""),
    ("valid_from", "write `use_from`: the time from which the key seals"),
    (
        "valid_until",
        "write `sign_until`, from which the key no longer seals, or `accept_until`, from which nothing is accepted",
    ),
];

/// Reports a field of an earlier version as renamed.
pub(super) fn renamed_field(error: FileError) -> FileError {
    let field = error.field.as_deref().unwrap_or_default().rsplit('.').next().unwrap_or_default();
    match RENAMED.into_iter().find(|(old, _)| *old == field) {
        Some((old, hint)) if error.message.starts_with("unknown field") => {
            error.message(format!("field `{old}` was renamed")).hint(hint)
        }
        _ => error,
    }
}

/// The tag of a COSE_Sign1 and the head of its array, with which a signed keyset starts.
const SIGNED: &[u8] = &[0xd2, 0x84];

/// Reads a keyset file that is not a signed one.
pub(super) fn unsigned(file: &Path) -> Result<String, FileError> {
    let signed = || {
        FileError::new(file, "is a signed keyset, and no root is pinned")
            .hint("pin the public key of its root: `roots = [\"…\"]` in [keys] of taskseal.toml")
    };
    match file_security::read_guarded(file, MAX_LEN) {
        Ok(text) if text.as_bytes().starts_with(SIGNED) => Err(signed()),
        Ok(text) => Ok(text),
        Err(error) => {
            let content = file_security::read_unguarded(file, MAX_LEN);
            Err(if content.is_ok_and(|content| content.starts_with(SIGNED)) { signed() } else { error })
        }
    }
}

impl KeysetContext<'_> {
    /// Returns the record of a destroyed key.
    pub(super) fn destroyed(&self, entry: Entry) -> Result<Record, FileError> {
        let others = [
            entry.alg.is_some(),
            entry.r#use.is_some(),
            entry.public.is_some(),
            entry.secret_file.is_some(),
            entry.in_token.is_some(),
            entry.issuers.is_some() || entry.types.is_some() || entry.audiences.is_some(),
            entry.use_from.is_some() || entry.sign_until.is_some() || entry.accept_until.is_some(),
        ];
        if others.contains(&true) {
            let message = "a destroyed key has `kid`, `state`, `since` and `label` only";
            return Err(self.fault(self.entry, message, "remove the other fields of the entry"));
        }
        Ok(Record {
            key: Arc::new(KeysetKey::Destroyed(*entry.kid.get_ref())),
            kind: Kind::Task,
            state: KeyState::Destroyed,
            label: entry.label,
            issuers: String::new(),
            types: String::new(),
            audiences: String::new(),
            use_from: None,
            sign_until: None,
            accept_until: None,
            since: entry.since.map(|instant| instant.0),
        })
    }

    /// Checks the rules of an entry of a signed keyset, so that each keyset file can be signed.
    pub(super) fn check_rules(&self, record: &Record) -> Result<(), FileError> {
        let fault = |message: &str, hint: &str| Err(self.fault(self.entry, message, hint));
        if record.state == KeyState::Retiring && record.accept_until.is_none() {
            return fault(
                "a retiring key needs `accept_until`",
                "set it to the time at which its last task has arrived, such as \"2030-01-31T00:00:00Z\"",
            );
        }
        if let (KeysetKey::EcdhEs(_), Some(missing)) = (&*record.key, record.missing_right()) {
            return fault(
                &format!("missing field `{missing}`: the key would be chosen for no body"),
                "set `issuers`, `types` and `audiences` of the bodies that are encrypted to the key, or remove all three",
            );
        }
        let ends = [("sign_until", record.sign_until), ("accept_until", record.accept_until)];
        for (name, end) in ends {
            if let (Some(from), Some(end)) = (record.use_from, end)
                && from >= end
            {
                return fault(
                    &format!("`{name}` must be later than `use_from`"),
                    "correct one of the two times",
                );
            }
        }
        if let (Some(sign), Some(accept)) = (record.sign_until, record.accept_until)
            && sign > accept
        {
            return fault(
                "`sign_until` must not be later than `accept_until`",
                "correct one of the two times: what is sealed in between would be refused",
            );
        }
        record.to_entry().check().or_else(|error| {
            fault(
                &error.to_string(),
                "a list of patterns has at most 512 characters, and times are before the year 36812",
            )
        })
    }
}
