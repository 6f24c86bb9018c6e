//! Appends lines to the current file. The caller holds the lock of the log.

mod begin;
mod sign;

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use super::actor::Actor;
use super::checkpoint::CheckpointKey;
use super::event::AuditEvent;
use super::folder::{FileId, Folder};
use super::line::{Hash, LineBuilder, MAX_LINE, Member, NO_LINE, hash, hex};
use super::names;
use super::removal::RemovalRule;
use super::seen::{self, Seen};
use super::settings::AuditSettings;
use super::tail::Tail;
use crate::keys::KeyStores;
use crate::time::UnixMillis;

/// The end of the log, and the key that signs it.
#[derive(Debug)]
pub(super) struct Writer {
    settings: AuditSettings,
    stores: KeyStores,
    actor: Actor,
    folder: Arc<Folder>,
    open: Option<OpenFile>,
    /// The last line that this process has seen.
    seen: Seen,
    /// Name of the log that has it.
    seen_log: String,
    key: Option<CheckpointKey>,
    key_failed_at: Option<Instant>,
}

/// The current file.
#[derive(Debug)]
struct OpenFile {
    file: File,
    id: FileId,
    tail: Tail,
    /// Name of the log.
    log: String,
    /// Whether this process has created the log.
    is_created: bool,
}

impl Writer {
    pub(super) fn new(
        settings: AuditSettings,
        stores: KeyStores,
        program: &str,
        folder: Arc<Folder>,
    ) -> Self {
        let actor = Actor::of_this_process(program);
        let seen = Seen { n: 0, hash: NO_LINE };
        let seen_log = String::new();
        Self { settings, stores, actor, folder, open: None, seen, seen_log, key: None, key_failed_at: None }
    }

    /// Uses another folder from now on.
    pub(super) fn move_to(&mut self, folder: Arc<Folder>) {
        (self.folder, self.open) = (folder, None);
    }

    /// Appends one line for each event, and a checkpoint if one is due. All are on the disk when this returns. After an error, those
    /// of the first `written` events are: the ones before a rotation.
    pub(super) fn append(
        &mut self,
        events: &[(UnixMillis, AuditEvent)],
        written: &mut usize,
    ) -> io::Result<()> {
        let appended = self.append_events(events, written);
        if appended.is_err() {
            // What the file has now is unknown: read it again.
            self.open = None;
        }
        appended?;
        self.checkpoint_if_due();
        Ok(())
    }

    fn append_events(&mut self, events: &[(UnixMillis, AuditEvent)], written: &mut usize) -> io::Result<()> {
        self.refresh()?;
        let mut batch = String::new();
        for (count, (at, event)) in events.iter().enumerate() {
            let mut line = self.event_line(*at, event);
            if line.len() > MAX_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the line is too long"));
            }
            if self.is_full(batch.len() + line.len())? {
                self.write(&std::mem::take(&mut batch))?;
                *written = count;
                self.rotate()?;
                // Its number and the line before it have changed.
                line = self.event_line(*at, event);
            }
            self.advance(&line);
            batch.push_str(&line);
        }
        self.write(&batch)?;
        *written = events.len();
        Ok(())
    }

    fn event_line(&self, at: UnixMillis, event: &AuditEvent) -> String {
        self.line(at, event.name(), &event.members())
    }

    /// Returns the next line.
    fn line(&self, at: UnixMillis, event: &str, members: &[Member]) -> String {
        let (n, previous) = self.open.as_ref().map_or((0, NO_LINE), |open| (open.tail.n, open.tail.hash));
        self.line_after(n, &previous, at, event, members)
    }

    fn line_after(&self, n: u64, previous: &Hash, at: UnixMillis, event: &str, members: &[Member]) -> String {
        let mut line = LineBuilder::new(n + 1, previous, at, event);
        self.actor.write(&mut line);
        members.iter().for_each(|(name, value)| line.member(name, value));
        line.finish()
    }

    /// Takes over a line that is about to be written.
    fn advance(&mut self, line: &str) {
        if let Some(open) = &mut self.open {
            open.tail.n += 1;
            open.tail.hash = hash(line.as_bytes());
        }
    }

    fn open(&self) -> io::Result<&OpenFile> {
        self.open.as_ref().ok_or_else(|| io::Error::other("the log is not open"))
    }

    /// Returns whether `more` bytes do not fit into the current file.
    fn is_full(&self, more: usize) -> io::Result<bool> {
        Ok(self.open()?.tail.len + more as u64 > self.settings.max_size)
    }

    /// Writes whole lines and waits until they are on the disk. If the disk is full, none of them remains.
    fn write(&mut self, lines: &str) -> io::Result<()> {
        let Some(open) = self.open.as_mut().filter(|_| !lines.is_empty()) else { return Ok(()) };
        let written = open.file.write_all(lines.as_bytes()).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // The caller learns that these lines are not in the log, and may write them again.
            let _ = open.file.set_len(open.tail.len);
            return Err(error);
        }
        open.tail.len += lines.len() as u64;
        open.tail.whole = open.tail.len;
        self.see_end();
        Ok(())
    }

    /// Opens the current file, or reads what other processes have appended to it. Records what is wrong at its end.
    fn refresh(&mut self) -> io::Result<()> {
        // What is written below replaces it.
        let (seen, log) = (self.seen, self.seen_log.clone());
        let refreshed = self.refresh_after(seen, &log);
        if refreshed.is_err() {
            // Lines that are missing are not recorded yet.
            (self.seen, self.seen_log) = (seen, log);
        }
        refreshed
    }

    fn refresh_after(&mut self, seen: Seen, log: &str) -> io::Result<()> {
        let is_current = match &mut self.open {
            Some(open) => {
                self.folder.find(self.folder.log())? == Some(open.id) && open.tail.refresh(&open.file)?
            }
            None => false,
        };
        if !is_current {
            self.open = None;
            self.open_current()?;
        }
        let is_missing = !self.has(seen, log)?;
        self.record_cut()?;
        if is_missing {
            self.record_missing(seen)?;
        }
        self.see_end();
        Ok(())
    }

    fn see_end(&mut self) {
        if let Some(open) = &self.open {
            self.seen = open.tail.last();
            self.seen_log.clone_from(&open.log);
        }
    }

    /// Returns whether the log still has a line that this process has seen.
    fn has(&self, seen: Seen, log: &str) -> io::Result<bool> {
        let tail = &self.open()?.tail;
        if seen.n == 0 || tail.last() == seen || tail.follows == Some(seen) {
            return Ok(true);
        }
        let rule = RemovalRule { log, keys: self.public_keys(), keep: self.settings.keep };
        seen::is_present(&self.folder, seen, &rule)
    }

    /// Returns what a crash has left at the end, with the end of line that is missing there, if one is.
    fn cut(&self) -> io::Result<(&'static str, Vec<u8>)> {
        let open = self.open()?;
        let mut cut = open.tail.cut(&open.file)?;
        if cut.last().is_none_or(|last| *last == b'\n') {
            return Ok(("", cut));
        }
        cut.push(b'\n');
        Ok(("\n", cut))
    }

    /// Records a line that a crash has cut. Its bytes stay.
    fn record_cut(&mut self) -> io::Result<()> {
        let (ending, cut) = self.cut()?;
        if cut.is_empty() {
            return Ok(());
        }
        tracing::warn!(bytes = cut.len(), "a line of the audit log is cut");
        let line = self.line(UnixMillis::now(), names::CUT, &cut_members(&cut));
        self.advance(&line);
        self.write(&format!("{ending}{line}"))
    }

    /// Records that lines are missing up to the one which this process has seen.
    fn record_missing(&mut self, seen: Seen) -> io::Result<()> {
        tracing::warn!(lines = seen.n, "lines of the audit log are missing");
        let members: Vec<Member> = vec![("lines", seen.n.into()), ("last", hex(&seen.hash).into())];
        let line = self.line(UnixMillis::now(), names::LINES_MISSING, &members);
        self.advance(&line);
        self.write(&line)
    }
}

fn cut_members(cut: &[u8]) -> Vec<Member> {
    if cut.is_empty() {
        return Vec::new();
    }
    vec![("cut_bytes", (cut.len() as u64).into()), ("cut_sha256", hex(&hash(cut)).into())]
}
