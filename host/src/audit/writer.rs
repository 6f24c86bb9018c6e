//! Appends lines to the current file. The caller holds the lock of the log.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::actor::Actor;
use super::checkpoint::{CheckpointKey, LogState};
use super::event::AuditEvent;
use super::files;
use super::line::{Hash, LineBuilder, MAX_LINE, Member, NO_LINE, Value, hash, hex};
use super::names;
use super::seen::{self, Seen};
use super::settings::AuditSettings;
use super::tail::{Mark, Tail, first_line};
use crate::keys::KeyStores;
use crate::time::UnixMillis;

/// Time after which a key that has failed is used again.
const KEY_RETRY: Duration = Duration::from_secs(60);

/// The end of the log, and the key that signs it.
#[derive(Debug)]
pub(super) struct Writer {
    settings: AuditSettings,
    stores: KeyStores,
    actor: Actor,
    open: Option<OpenFile>,
    /// The last line that this process has seen.
    seen: Seen,
    key: Option<CheckpointKey>,
    key_failed_at: Option<Instant>,
}

/// The current file.
#[derive(Debug)]
struct OpenFile {
    file: File,
    id: (u64, u64),
    tail: Tail,
    /// Name of the log.
    log: String,
}

/// Where a file continues: the end of the file before it.
#[derive(Default)]
struct Before {
    n: u64,
    hash: Hash,
    log: Option<String>,
    file: Option<String>,
    cut: Vec<u8>,
}

impl Writer {
    pub(super) fn new(settings: AuditSettings, stores: KeyStores, program: &str) -> Self {
        let actor = Actor::of_this_process(program);
        let seen = Seen { n: 0, hash: NO_LINE };
        Self { settings, stores, actor, open: None, seen, key: None, key_failed_at: None }
    }

    /// Appends one line for each event, and a checkpoint if one is due. All are on the disk when this returns. Returns the number
    /// of the last of them.
    pub(super) fn append(&mut self, events: &[(UnixMillis, AuditEvent)]) -> io::Result<u64> {
        let appended = self.append_events(events);
        if appended.is_err() {
            // What the file has now is unknown: read it again.
            self.open = None;
        }
        let n = appended?;
        self.checkpoint_if_due();
        Ok(n)
    }

    fn append_events(&mut self, events: &[(UnixMillis, AuditEvent)]) -> io::Result<u64> {
        self.refresh()?;
        let mut batch = String::new();
        for (at, event) in events {
            let mut line = self.event_line(*at, event);
            if line.len() > MAX_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the line is too long"));
            }
            if self.is_full(batch.len() + line.len())? {
                self.write(&std::mem::take(&mut batch))?;
                self.rotate()?;
                // Its number and the line before it have changed.
                line = self.event_line(*at, event);
            }
            self.advance(&line);
            batch.push_str(&line);
        }
        self.write(&batch)?;
        Ok(self.open()?.tail.n)
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
        if let Err(error) = open.file.write_all(lines.as_bytes()) {
            // Not a repair: the caller learns that these lines are not in the log.
            let _ = open.file.set_len(open.tail.len);
            return Err(error);
        }
        open.file.sync_data()?;
        open.tail.len += lines.len() as u64;
        open.tail.whole = open.tail.len;
        self.seen = open.tail.last();
        Ok(())
    }

    /// Opens the current file, or reads what other processes have appended to it. Records what is wrong at its end.
    fn refresh(&mut self) -> io::Result<()> {
        // What is written below replaces it.
        let seen = self.seen;
        let refreshed = self.refresh_after(seen);
        if refreshed.is_err() {
            // Lines that are missing are not recorded yet.
            self.seen = seen;
        }
        refreshed
    }

    fn refresh_after(&mut self, seen: Seen) -> io::Result<()> {
        let is_current = match &mut self.open {
            Some(open) => {
                let named = std::fs::metadata(&self.settings.file).ok();
                named.map(|named| id(&named)) == Some(open.id) && open.tail.refresh(&open.file)?
            }
            None => false,
        };
        if !is_current {
            self.open = None;
            self.open_current()?;
        }
        let is_missing = !self.has(seen)?;
        self.record_cut()?;
        if is_missing {
            self.record_missing(seen)?;
        }
        self.seen = self.open()?.tail.last();
        Ok(())
    }

    /// Returns whether the log still has a line that this process has seen.
    fn has(&self, seen: Seen) -> io::Result<bool> {
        let tail = &self.open()?.tail;
        let is_end = seen.n == 0 || tail.last() == seen || tail.follows == Some(seen);
        Ok(is_end || seen::is_present(&self.settings, seen)?)
    }

    fn open_current(&mut self) -> io::Result<()> {
        let path = &self.settings.file;
        let file = match files::open(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = files::open(path, true)?;
                files::sync_folder(path)?;
                file
            }
            opened => opened?,
        };
        let (id, tail) = (id(&file.metadata()?), Tail::read(&file)?);
        let log = first_line(&file)?.and_then(|first| first.log);
        let is_new = tail.n == 0;
        self.open = Some(OpenFile { file, id, tail, log: log.unwrap_or_default() });
        if is_new { self.begin_file() } else { Ok(()) }
    }

    /// Writes the first line of a file: of a new log, or of one that continues in this file.
    fn begin_file(&mut self) -> io::Result<()> {
        let before = self.before()?;
        let (log, event) = match before.log {
            Some(log) => (log, names::CONTINUED),
            None => (format!("{}/{}", self.settings.deployment, uuid::Uuid::now_v7()), names::CREATED),
        };
        let mut members: Vec<Member> = vec![("log", log.as_str().into())];
        members.extend(before.file.map(|file| ("previous", Value::Text(file))));
        let (ending, own) = self.cut()?;
        members.extend(cut_members(&[before.cut, own].concat()));
        let now = UnixMillis::now();
        let line = self.line_after(before.n, &before.hash, now, event, &members);
        if let Some(open) = &mut self.open {
            open.log = log;
            open.tail.n = before.n;
            open.tail.checkpoint = Mark { n: before.n, at: now };
        }
        self.advance(&line);
        self.write(&format!("{ending}{line}"))
    }

    /// Returns the end of the newest rotated file.
    fn before(&self) -> io::Result<Before> {
        let Some((_, path)) = files::list_rotated(&self.settings.file)?.pop() else {
            return Ok(Before::default());
        };
        let file = File::open(&path)?;
        let (tail, first) = (Tail::read(&file)?, first_line(&file)?);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = first.and_then(|first| first.log);
        Ok(Before { n: tail.n, hash: tail.hash, log, file: Some(name), cut: tail.cut(&file)? })
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

    /// Gives the current file the next number and starts another one.
    fn rotate(&mut self) -> io::Result<()> {
        self.checkpoint();
        let path = &self.settings.file;
        let number = files::list_rotated(path)?.last().map_or(1, |(number, _)| number + 1);
        std::fs::rename(path, files::rotated(path, number))?;
        files::sync_folder(path)?;
        self.open = None;
        self.open_current()?;
        if let Err(error) = self.prune() {
            tracing::warn!(%error, "cannot delete old files of the audit log");
        }
        Ok(())
    }

    /// Deletes the oldest rotated files beyond the number to keep.
    fn prune(&self) -> io::Result<()> {
        let rotated = files::list_rotated(&self.settings.file)?;
        let surplus = rotated.len().saturating_sub(self.settings.keep);
        rotated.iter().take(surplus).try_for_each(|(_, path)| std::fs::remove_file(path))
    }

    /// Signs a checkpoint if enough lines or enough time have passed since the last one.
    pub(super) fn checkpoint_if_due(&mut self) {
        let Some(open) = &self.open else { return };
        let since = open.tail.n.saturating_sub(open.tail.checkpoint.n);
        let age = UnixMillis::now().since(open.tail.checkpoint.at);
        if since >= self.settings.checkpoint_lines || (since > 0 && age >= self.settings.checkpoint_every) {
            self.checkpoint();
        }
    }

    /// Reads what other processes have appended, and signs a checkpoint if one is due, or if there are new lines and `always`.
    /// Returns whether it was signed.
    pub(super) fn refresh_and_checkpoint(&mut self, always: bool) -> io::Result<bool> {
        if self.settings.key.is_none() || !self.settings.file.try_exists()? {
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
    fn checkpoint(&mut self) {
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

fn id(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn cut_members(cut: &[u8]) -> Vec<Member> {
    if cut.is_empty() {
        return Vec::new();
    }
    vec![("cut_bytes", (cut.len() as u64).into()), ("cut_sha256", hex(&hash(cut)).into())]
}
