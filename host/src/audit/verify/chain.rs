//! The chain of lines, as far as it was read.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use taskseal_core::keys::VerifyingKey;

use super::{Fault, FaultKind, MAX_FAULTS, Report};
use crate::audit::checkpoint::LogState;
use crate::audit::line::{Hash, Head, NO_LINE, hash, hex};
use crate::audit::names;

/// Follows the lines of a log.
pub(super) struct Chain<'k> {
    keys: &'k [VerifyingKey],
    report: Report,
    file: PathBuf,
    /// Line in the file, from 1.
    line: u64,
    last: Option<Last>,
    /// Lines that are damaged, unless the next line records them as cut.
    damaged: Damaged,
    /// The first line of the log, if it is not the first one that was written.
    beginning: Option<Beginning>,
    /// The last line of the newest files that the log states to have deleted.
    removed: Option<(u64, String)>,
}

/// The first line that is left, whose place in the chain shows what is missing before it.
struct Beginning {
    n: u64,
    previous: Hash,
    file: PathBuf,
}

/// The last line that was read.
struct Last {
    n: u64,
    hash: Hash,
    previous: Hash,
    file: PathBuf,
    line: u64,
}

#[derive(Default)]
struct Damaged {
    hash: Sha256,
    len: u64,
    has_end: bool,
    first: Option<(PathBuf, u64)>,
}

impl<'k> Chain<'k> {
    pub(super) fn new(keys: &'k [VerifyingKey]) -> Self {
        Self {
            keys,
            report: Report::default(),
            file: PathBuf::new(),
            line: 0,
            last: None,
            damaged: Damaged::default(),
            beginning: None,
            removed: None,
        }
    }

    pub(super) fn begin_file(&mut self, file: &Path) {
        self.file = file.to_owned();
        self.line = 0;
    }

    /// Follows a line, with its end unless it is cut.
    pub(super) fn line(&mut self, line: &[u8]) {
        self.line += 1;
        let parsed = Head::parse(line);
        let Some((head, previous)) = parsed.and_then(|head| head.previous().map(|hash| (head, hash))) else {
            self.damaged.add(line, &self.file, self.line);
            return;
        };
        self.check_damaged(&head);
        self.check_place(&head, previous);
        self.check_beginning(&head);
        match head.event.as_str() {
            names::CHECKPOINT => self.check_signature(line, &head, &previous),
            names::LINES_MISSING => self.fault(FaultKind::Removed { last: head.lines.unwrap_or(0) }),
            _ => {}
        }
        if self.report.first == 0 {
            self.report.first = head.n;
        }
        self.report.last = head.n;
        let (file, line_number) = (self.file.clone(), self.line);
        self.last = Some(Last { n: head.n, hash: hash(line), previous, file, line: line_number });
    }

    /// Ends the log.
    pub(super) fn finish(mut self) -> Report {
        self.report.lines_of_last_file = self.line;
        self.check_removed();
        let damaged = std::mem::take(&mut self.damaged);
        match damaged.first {
            // What a crash leaves has no end of line.
            Some(_) if !damaged.has_end => self.report.open_cut = damaged.len,
            Some((file, line)) => self.fault_at(file, line, FaultKind::Damaged),
            None => {}
        }
        self.report
    }

    /// Checks that damaged lines before this one are those that it records as cut, and that it records none otherwise.
    fn check_damaged(&mut self, head: &Head) {
        let damaged = std::mem::take(&mut self.damaged);
        let recorded = head.cut_sha256.is_some() || head.cut_bytes.is_some() || head.event == names::CUT;
        let digest: Hash = damaged.hash.finalize().into();
        let matches = head.cut_bytes == Some(damaged.len) && head.cut_sha256 == Some(hex(&digest));
        match damaged.first {
            Some(_) if recorded && matches => self.report.cuts += 1,
            Some((file, line)) => self.fault_at(file, line, FaultKind::Damaged),
            None if recorded => self.fault(FaultKind::NoCut),
            None => {}
        }
    }

    /// Checks the number of a line and the hash of the line before.
    fn check_place(&mut self, head: &Head, previous: Hash) {
        let Some(last) = &self.last else {
            let continues = head.n > 1 && head.event == names::CONTINUED;
            let begins = head.n == 1 && previous == NO_LINE && head.event == names::CREATED;
            if continues {
                self.beginning = Some(Beginning { n: head.n, previous, file: self.file.clone() });
            } else if !begins {
                self.fault(FaultKind::NoBeginning);
            }
            return;
        };
        let expected = last.n.saturating_add(1);
        if head.n == expected {
            if previous != last.hash {
                let (file, line) = (last.file.clone(), last.line);
                self.fault_at(file, line, FaultKind::Changed);
            }
        } else if head.n > expected {
            self.fault(FaultKind::Missing { first: expected, last: head.n - 1 });
        } else if head.n == last.n && previous == last.previous {
            self.fault(FaultKind::Duplicate);
        } else {
            self.fault(FaultKind::OutOfOrder);
        }
    }

    /// Checks that the log states itself that the files before the first line were deleted: the oldest ones are after a time.
    fn check_removed(&mut self) {
        let Some(Beginning { n, previous, file }) = self.beginning.take() else { return };
        let is_recorded = match &self.removed {
            Some((last, hash)) if *last == n - 1 => *hash == hex(&previous),
            // A process that ended before it deleted the files has left some of them.
            Some((last, _)) => *last >= n,
            None => false,
        };
        if !is_recorded {
            let fault = Fault { file, line: 1, kind: FaultKind::NoBeginning };
            self.report.faults.insert(0, fault);
            self.report.faults.truncate(MAX_FAULTS);
        }
    }

    /// Checks that a file begins with the name of the log, and that no other line does.
    fn check_beginning(&mut self, head: &Head) {
        let begins = matches!(head.event.as_str(), names::CREATED | names::CONTINUED);
        let is_first = self.last.as_ref().is_none_or(|last| last.file != self.file);
        let same_log = self.report.log.is_none() || self.report.log == head.log;
        if begins != is_first || (begins && !same_log) {
            self.fault(FaultKind::OtherLog);
        }
        if self.report.log.is_none() {
            self.report.log.clone_from(&head.log);
        }
        if let (true, Some(lines), Some(hash)) = (begins, head.removed_lines, &head.removed_sha256) {
            self.removed = Some((lines, hash.clone()));
        }
    }

    fn check_signature(&mut self, line: &[u8], head: &Head, previous: &Hash) {
        if self.keys.is_empty() {
            self.report.unchecked += 1;
            return;
        }
        let log = self.report.log.clone().unwrap_or_default();
        let state = LogState { log: &log, lines: head.n - 1, last: previous };
        match state.verify(line, head, self.keys) {
            Ok(()) => {
                self.report.checkpoints += 1;
                self.report.signed = head.n;
            }
            Err(reason) => self.fault(FaultKind::Signature { reason }),
        }
    }

    fn fault(&mut self, kind: FaultKind) {
        let (file, line) = (self.file.clone(), self.line);
        self.fault_at(file, line, kind);
    }

    fn fault_at(&mut self, file: PathBuf, line: u64, kind: FaultKind) {
        if self.report.faults.len() < MAX_FAULTS {
            self.report.faults.push(Fault { file, line, kind });
        }
    }
}

impl Damaged {
    fn add(&mut self, line: &[u8], file: &Path, number: u64) {
        self.hash.update(line);
        self.len += line.len() as u64;
        self.has_end |= line.ends_with(b"\n");
        self.first.get_or_insert_with(|| (file.to_owned(), number));
    }
}
