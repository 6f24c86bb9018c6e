//! The end of a file of the log: the last whole line, and what a crash left after it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::line::{Hash, Head, MAX_LINE, NO_LINE, hash};
use super::names;
use super::seen::Seen;
use crate::time::UnixMillis;

/// How far back the last whole line is looked for, in bytes.
const WINDOW: u64 = 1 << 20;

/// A line and its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) n: u64,
    pub(super) at: UnixMillis,
}

/// The end of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Number of the last whole line; 0 if the file has none.
    pub(super) n: u64,
    /// Hash of that line.
    pub(super) hash: Hash,
    /// Size of the file, in bytes.
    pub(super) len: u64,
    /// End of the last whole line, in bytes. What follows is cut.
    pub(super) whole: u64,
    /// The last checkpoint, or a line after which there is none.
    pub(super) checkpoint: Mark,
    /// The line that the lines of the last refresh follow, as the first of them states.
    pub(super) follows: Option<Seen>,
}

impl Tail {
    const EMPTY: Self = Self {
        n: 0,
        hash: NO_LINE,
        len: 0,
        whole: 0,
        checkpoint: Mark { n: 0, at: UnixMillis(0) },
        follows: None,
    };

    /// Returns the last whole line.
    pub(super) const fn last(&self) -> Seen {
        Seen { n: self.n, hash: self.hash }
    }

    /// Reads the end of a file.
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let mut tail = Self { len, ..Self::EMPTY };
        let from = len.saturating_sub(WINDOW);
        let bytes = read_range(file, from, len)?;
        // Before the first end of a line in the window is a part of a line.
        let skipped =
            if from == 0 { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        tail.scan(bytes.get(skipped..).unwrap_or_default(), from + skipped as u64);
        if tail.n == 0 && from > 0 {
            let message = format!("it has no line of an audit log in its last {WINDOW} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(tail)
    }

    /// Reads what other processes have appended since. Returns `false` if the file is shorter than before.
    pub(super) fn refresh(&mut self, file: &File) -> io::Result<bool> {
        self.follows = None;
        let len = file.metadata()?.len();
        if len < self.len {
            return Ok(false);
        }
        if len == self.len {
            return Ok(true);
        }
        if len - self.whole > WINDOW {
            *self = Self::read(file)?;
            return Ok(true);
        }
        let (from, bytes) = (self.whole, read_range(file, self.whole, len)?);
        self.len = len;
        let first = bytes.split_inclusive(|byte| *byte == b'\n').next().and_then(Head::parse);
        self.follows =
            first.and_then(|head| Some(Seen { n: head.n.checked_sub(1)?, hash: head.previous()? }));
        self.scan(&bytes, from);
        Ok(true)
    }

    /// Takes over the whole lines among `bytes`, which start at `from`.
    fn scan(&mut self, bytes: &[u8], from: u64) {
        let mut at = from;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            at += line.len() as u64;
            let Some(head) = Head::parse(line) else { continue };
            if self.n == 0 {
                self.checkpoint = Mark { n: head.n - 1, at: head.at() };
            }
            (self.n, self.hash, self.whole) = (head.n, hash(line), at);
            if head.event == names::CHECKPOINT {
                self.checkpoint = Mark { n: head.n, at: head.at() };
            }
        }
    }

    /// Returns what follows the last whole line.
    pub(super) fn cut(&self, file: &File) -> io::Result<Vec<u8>> {
        read_range(file, self.whole, self.len)
    }
}

/// Returns the first line of a file if it is whole.
pub(super) fn first_line(file: &File) -> io::Result<Option<Head>> {
    let len = file.metadata()?.len().min(MAX_LINE as u64);
    let bytes = read_range(file, 0, len)?;
    Ok(bytes.split_inclusive(|byte| *byte == b'\n').next().and_then(Head::parse))
}

fn read_range(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}
