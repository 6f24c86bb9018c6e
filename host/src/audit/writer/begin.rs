//! Begins a file of the log: the first one, and the next one after a rotation.

use std::ffi::OsString;
use std::io;

use super::{OpenFile, Writer, cut_members};
use crate::audit::files;
use crate::audit::folder::id;
use crate::audit::line::{Hash, Member, Value, hex};
use crate::audit::names;
use crate::audit::tail::{Mark, Tail, first_line};
use crate::time::UnixMillis;

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
    pub(super) fn open_current(&mut self) -> io::Result<()> {
        let log = self.folder.log();
        let file = match self.folder.open(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = self.folder.create(log)?;
                self.folder.sync()?;
                file
            }
            opened => opened?,
        };
        let (id, tail) = (id(&file)?, Tail::read(&file)?);
        let log = first_line(&file)?.and_then(|first| first.log);
        let is_new = tail.n == 0;
        self.open = Some(OpenFile { file, id, tail, log: log.unwrap_or_default(), is_created: false });
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
        let (surplus, removed) = self.surplus()?;
        // Before they are deleted: files that are missing without a record were deleted by another program.
        members.extend(removed);
        let (ending, own) = self.cut()?;
        members.extend(cut_members(&[before.cut, own].concat()));
        let now = UnixMillis::now();
        let line = self.line_after(before.n, &before.hash, now, event, &members);
        if let Some(open) = &mut self.open {
            open.log = log;
            open.is_created = event == names::CREATED;
            open.tail.n = before.n;
            open.tail.checkpoint = Mark { n: before.n, at: now };
        }
        self.advance(&line);
        self.write(&format!("{ending}{line}"))?;
        for name in &surplus {
            if let Err(error) = self.folder.remove(name) {
                tracing::warn!(%error, "cannot delete old files of the audit log");
            }
        }
        Ok(())
    }

    /// Returns the oldest rotated files beyond the number to keep, and the members that record their last line.
    fn surplus(&self) -> io::Result<(Vec<OsString>, Vec<Member>)> {
        let mut names: Vec<OsString> = self.folder.rotated()?.into_iter().map(|(_, name)| name).collect();
        let kept = names.split_off(names.len().saturating_sub(self.settings.keep));
        let (Some(oldest), false) = (kept.first(), names.is_empty()) else { return Ok((names, Vec::new())) };
        // If the file is damaged, nothing is recorded: `audit verify` reports both.
        let first = first_line(&self.folder.open(oldest)?)?;
        let last = first.and_then(|first| Some((first.n.checked_sub(1)?, first.previous()?)));
        let members = last.map_or_else(Vec::new, |(n, hash)| {
            vec![("removed_lines", n.into()), ("removed_sha256", hex(&hash).into())]
        });
        Ok((names, members))
    }

    /// Returns the end of the newest rotated file.
    fn before(&self) -> io::Result<Before> {
        let Some((_, name)) = self.folder.rotated()?.pop() else {
            return Ok(Before::default());
        };
        let file = self.folder.open(&name)?;
        let (tail, first) = (Tail::read(&file)?, first_line(&file)?);
        let log = first.and_then(|first| first.log);
        let name = name.to_string_lossy().into_owned();
        Ok(Before { n: tail.n, hash: tail.hash, log, file: Some(name), cut: tail.cut(&file)? })
    }

    /// Gives the current file the next number and starts another one.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        self.checkpoint();
        let number = self.folder.rotated()?.last().map_or(1, |(number, _)| number + 1);
        self.folder.rename(self.folder.log(), &files::rotated(self.folder.log(), number))?;
        self.folder.sync()?;
        self.open = None;
        self.open_current()
    }
}
