//! A keyset file as the draft of the next signed keyset: read without secrets, and changed entry by entry.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use taskseal_core::KeyId;
use taskseal_core::keyset::signed::KeyState;

use super::edit::{self, NotEditable, Target};
use super::settings::KeysetSettings;
use super::{Secrets, parse, records};
use crate::file_error::{FileError, MAX_LEN};
use crate::file_security;
use crate::keys::error::KeyringError;
use crate::keys::record::Record;
use crate::time::{UnixMillis, rfc3339};

#[cfg(test)]
mod tests;

/// A keyset file that is changed. It reads no secrets: the host that signs a keyset does not have them.
#[derive(Debug)]
pub struct DraftFile {
    file: PathBuf,
    text: String,
    /// The text that the file has.
    stored: String,
    settings: Option<KeysetSettings>,
    records: BTreeMap<KeyId, Record>,
}

/// New values of the fields that a change of state sets. Times are in seconds of Unix time.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the fields that change with the state")]
pub struct StateChange {
    /// State of the key.
    pub state: KeyState,
    /// Time of the change.
    pub since: u64,
    /// Time from which the key seals.
    pub use_from: Option<u64>,
    /// Time from which the key no longer seals.
    pub sign_until: Option<u64>,
    /// Time from which nothing is accepted that the key sealed.
    pub accept_until: Option<u64>,
}

impl DraftFile {
    /// Reads a keyset file.
    ///
    /// # Errors
    /// [`KeyringError`] if it cannot be read, may be changed by other users, or is not valid.
    pub fn read(file: &Path) -> Result<Self, KeyringError> {
        let text = file_security::read_guarded(file, MAX_LEN)?;
        Self::of_text(file, text)
    }

    /// Creates a draft with this text, which is not stored yet.
    ///
    /// # Errors
    /// [`KeyringError`] if it is not valid.
    pub fn of_text(file: &Path, text: String) -> Result<Self, KeyringError> {
        let parsed = parse(file, &text)?;
        let settings = parsed.keyset;
        let records = records(file, &text, parsed.key, Secrets::Name)?;
        Ok(Self { file: file.to_owned(), stored: text.clone(), text, settings, records })
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns its text with the changes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the table `[keyset]`.
    #[must_use]
    pub const fn settings(&self) -> Option<&KeysetSettings> {
        self.settings.as_ref()
    }

    /// Returns the records in the order of their kids.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.records.values()
    }

    /// Returns a record.
    #[must_use]
    pub fn record(&self, kid: KeyId) -> Option<&Record> {
        self.records.get(&kid)
    }

    /// Changes state and times of a key. A destroyed key loses all other fields but its label.
    ///
    /// # Errors
    /// [`KeyringError`] if the key is unknown, or the keyset would not be valid with the change.
    pub fn change(&mut self, kid: KeyId, change: &StateChange) -> Result<(), KeyringError> {
        let mut text = self.text.clone();
        let destroyed = change.state == KeyState::Destroyed;
        if destroyed {
            text = self.edited(edit::keep_only(&text, kid, &["kid", "state", "label"]))?;
        }
        let time = |at: Option<u64>| at.filter(|_| !destroyed).map(quoted_time);
        let changes = [
            ("state", Some(format!("\"{}\"", change.state))),
            ("since", Some(quoted_time(change.since))),
            ("use_from", time(change.use_from)),
            ("sign_until", time(change.sign_until)),
            ("accept_until", time(change.accept_until)),
        ];
        self.replace_text(edit::set(&text, Target::Entry(kid), &changes))
    }

    /// Sets the time of the last change of a key's state, in seconds of Unix time.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn set_since(&mut self, kid: KeyId, since: u64) -> Result<(), KeyringError> {
        self.replace_text(edit::set(&self.text, Target::Entry(kid), &[("since", Some(quoted_time(since)))]))
    }

    /// Sets the sequence number of the last signed keyset.
    ///
    /// # Errors
    /// [`KeyringError`] if the file has no table `[keyset]`.
    pub fn set_sequence(&mut self, sequence: u64) -> Result<(), KeyringError> {
        let change = ("sequence", Some(sequence.to_string()));
        self.replace_text(edit::set(&self.text, Target::Settings, &[change]))
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn remove(&mut self, kid: KeyId) -> Result<(), KeyringError> {
        self.replace_text(edit::remove(&self.text, kid))
    }

    /// Appends entries.
    ///
    /// # Errors
    /// [`KeyringError`] if the keyset would not be valid with them.
    pub fn append(&mut self, entries: &str) -> Result<(), KeyringError> {
        let separator = match self.text.as_str() {
            "" => "",
            text if text.ends_with("\n\n") => "",
            text if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        self.replace_text(Ok(format!("{}{separator}{entries}", self.text)))
    }

    /// Inserts text before the first entry, with the comments above it.
    ///
    /// # Errors
    /// [`KeyringError`] if the keyset would not be valid with it.
    pub fn insert_at_start(&mut self, text: &str) -> Result<(), KeyringError> {
        self.replace_text(Ok(format!("{text}{}", self.text)))
    }

    /// Writes the file atomically, if it was changed. It keeps its mode.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be written.
    pub fn store(&mut self) -> Result<(), FileError> {
        let present = fs::metadata(&self.file);
        if self.text == self.stored && present.is_ok() {
            return Ok(());
        }
        let mode = present.map_or(0o644, |metadata| metadata.permissions().mode() & 0o7777);
        file_security::replace_durably(&self.file, self.text.as_bytes(), mode)?;
        self.stored.clone_from(&self.text);
        Ok(())
    }

    fn edited(&self, text: Result<String, NotEditable>) -> Result<String, KeyringError> {
        text.map_err(|NotEditable| {
            FileError::new(&self.file, "cannot be changed by a command")
                .hint("write each entry as a table `[[key]]` with one field on each line")
                .into()
        })
    }

    fn replace_text(&mut self, text: Result<String, NotEditable>) -> Result<(), KeyringError> {
        let changed = Self::of_text(&self.file, self.edited(text)?)?;
        let stored = std::mem::take(&mut self.stored);
        *self = Self { stored, ..changed };
        Ok(())
    }
}

fn quoted_time(seconds: u64) -> String {
    let at = UnixMillis::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    format!("\"{}\"", rfc3339::format(at).unwrap_or_default())
}
