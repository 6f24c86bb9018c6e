//! Reads a file of a log line by line, and refuses long extents without an end of line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::line::MAX_LINE;

/// Maximum number of bytes without an end of line: a sparse file of any size takes no space on the disk, and would keep the reader
/// busy for hours. A crash leaves less.
const MAX_GAP: u64 = 1 << 20;

/// Reads lines. A line that is longer than a line of a log is read in parts.
pub(super) struct LineReader {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Number of bytes since the last end of a line.
    gap: u64,
}

impl LineReader {
    pub(super) fn new(file: File) -> Self {
        Self { reader: BufReader::new(file), line: Vec::new(), gap: 0 }
    }

    /// Reads as [`read`](Self::read), and ends the file at such an extent.
    pub(super) fn read_any(&mut self) -> io::Result<Option<&[u8]>> {
        match self.read() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            read => read,
        }
    }

    /// Reads the next line with its end. `None` at the end of the file.
    pub(super) fn read(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let part = (&mut self.reader).take(2 * MAX_LINE as u64).read_until(b'\n', &mut self.line)?;
        self.gap = if self.line.ends_with(b"\n") { 0 } else { self.gap + part as u64 };
        if self.gap > MAX_GAP {
            let message = format!("it has no end of line in {MAX_GAP} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok((part > 0).then_some(&self.line))
    }
}
