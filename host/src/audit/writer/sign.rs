//! Signs checkpoints.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use taskseal_core::keys::VerifyingKey;

use super::Writer;
use crate::audit::checkpoint::{CheckpointKey, LogState};
use crate::audit::tail::Mark;
use crate::time::UnixMillis;

/// Time after which a key that has failed is used again.
const KEY_RETRY: Duration = Duration::from_secs(60);

impl Writer {
    /// Signs a checkpoint if enough lines or enough time have passed since the last one, and the first one of a log that this process
    /// has created: without a checkpoint, verification cannot tell a new log from one that was replaced.
    pub(in crate::audit) fn checkpoint_if_due(&mut self) {
        let Some(open) = &self.open else { return };
        let since = open.tail.n.saturating_sub(open.tail.checkpoint.n);
        let age = UnixMillis::now().since(open.tail.checkpoint.at);
        let is_first = open.is_created && open.tail.checkpoint.n == 0 && !self.is_key_to_be_created();
        let is_late = is_first || age >= self.settings.checkpoint_every;
        if since >= self.settings.checkpoint_lines || (since > 0 && is_late) {
            self.checkpoint();
        }
    }

    /// Returns whether the key is a file that does not exist yet: the log begins with the command that creates it.
    fn is_key_to_be_created(&self) -> bool {
        self.settings
            .key
            .as_ref()
            .is_some_and(|key| key.scheme() == "file" && !Path::new(key.address()).exists())
    }

    /// Reads what other processes have appended, and signs a checkpoint if one is due, or if there are new lines and `always`.
    /// Returns whether it was signed.
    pub(in crate::audit) fn refresh_and_checkpoint(&mut self, always: bool) -> io::Result<bool> {
        if self.settings.key.is_none() || self.folder.find(self.folder.log())?.is_none() {
            return Ok(false);
        }
        self.refresh().inspect_err(|_| self.open = None)?;
        let before = self.seen;
        if always {
            self.try_checkpoint().map_err(io::Error::other)?;
        } else {
            self.checkpoint_if_due();
        }
        Ok(self.seen != before)
    }

    /// Signs a checkpoint if there is a key, and lines since the last one. A failure is an alarm: the lines themselves are written.
    pub(super) fn checkpoint(&mut self) {
        let failed_lately = self.key_failed_at.is_some_and(|at| at.elapsed() < KEY_RETRY);
        if self.settings.key.is_none() || failed_lately {
            return;
        }
        self.key_failed_at = None;
        if let Err(error) = self.try_checkpoint() {
            self.key_failed_at = Some(Instant::now());
            tracing::warn!(error, "cannot sign a checkpoint of the audit log");
        }
    }

    /// Returns the public keys of checkpoints; `None` if no key signs them, or if it is kept elsewhere and `public` is not set.
    pub(super) fn public_keys(&self) -> Option<Vec<VerifyingKey>> {
        let mut keys = self.settings.public.clone();
        let own = match (&self.key, &self.settings.key) {
            (Some(key), _) => Ok(key.public()),
            (None, Some(key)) => CheckpointKey::open(key, &self.stores).map(|key| key.public()),
            (None, None) => Ok(None),
        };
        // A key that cannot be opened verifies nothing: an alarm too many is better than none.
        let is_known = own.is_err() || !keys.is_empty() || matches!(own, Ok(Some(_)));
        keys.extend(own.ok().flatten());
        is_known.then_some(keys)
    }

    fn try_checkpoint(&mut self) -> Result<(), String> {
        let (Some(key), Some(open)) = (&self.settings.key, &self.open) else { return Ok(()) };
        let tail = &open.tail;
        if tail.n <= tail.checkpoint.n {
            return Ok(());
        }
        if self.key.is_none() {
            self.key = Some(CheckpointKey::open(key, &self.stores).map_err(|error| error.to_string())?);
        }
        let Some(key) = &self.key else { return Ok(()) };
        let (at, state) = (UnixMillis::now(), LogState { log: &open.log, lines: tail.n, last: &tail.hash });
        let line = state.sign(key, at)?;
        self.advance(&line);
        let written = self.write(&line);
        match (written, &mut self.open) {
            (Ok(()), Some(open)) => open.tail.checkpoint = Mark { n: open.tail.n, at },
            (Err(error), _) => {
                self.open = None;
                return Err(error.to_string());
            }
            _ => {}
        }
        Ok(())
    }
}
