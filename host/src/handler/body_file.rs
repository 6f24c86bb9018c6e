//! The body of a task as an anonymous file in memory: complete before the program that reads it starts.
//!
//! A program that reads its body from a pipe cannot tell the end of the body from the end of the worker that writes it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};
use zeroize::Zeroizing;

/// A body in memory. Overwritten with zeros on drop.
#[derive(Debug)]
pub(super) struct BodyFile {
    file: File,
    length: u64,
}

/// Bytes copied at once.
const CHUNK: usize = 1 << 16;

impl BodyFile {
    /// Copies `body`.
    pub(super) fn of(body: &[u8]) -> io::Result<Self> {
        let mut file = Self::empty()?;
        file.length = body.len() as u64;
        file.file.write_all(body)?;
        Ok(file)
    }

    /// Copies `length` bytes from `source`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the source has fewer.
    pub(super) fn read_from(source: &mut impl Read, length: u64) -> io::Result<Self> {
        let mut file = Self::empty()?;
        let mut chunk = Zeroizing::new(vec![0; CHUNK]);
        while file.length < length {
            let room = usize::try_from(length - file.length).unwrap_or(CHUNK).min(CHUNK);
            let part = chunk.get_mut(..room).unwrap_or_default();
            source.read_exact(part)?;
            file.file.write_all(part)?;
            file.length += room as u64;
        }
        Ok(file)
    }

    fn empty() -> io::Result<Self> {
        let file = memfd_create("taskseal-body", MemfdFlags::CLOEXEC)?.into();
        Ok(Self { file, length: 0 })
    }

    /// Opens the file from its start, for reading only.
    pub(super) fn reader(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        let zeros = [0; 4096];
        let mut at = 0;
        while at < self.length {
            let room = usize::try_from(self.length - at).unwrap_or(zeros.len()).min(zeros.len());
            let part = zeros.get(..room).unwrap_or_default();
            // The memory is released in any case.
            if std::os::unix::fs::FileExt::write_all_at(&self.file, part, at).is_err() {
                break;
            }
            at += room as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(mut file: File) -> Vec<u8> {
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        content
    }

    #[test]
    fn source_that_ends_early_is_refused() {
        let error = BodyFile::read_from(&mut &[1, 2, 3][..], 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn reader_returns_the_whole_body_and_cannot_write() {
        let body: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for file in [BodyFile::of(&body).unwrap(), BodyFile::read_from(&mut &*body, 200_000).unwrap()] {
            assert!(file.reader().unwrap().write(&[0]).is_err());
            assert_eq!(content(file.reader().unwrap()), body);
        }
    }

    #[test]
    fn dropped_body_is_overwritten() {
        let file = BodyFile::of(b"secret").unwrap();
        let reader = file.reader().unwrap();
        drop(file);
        assert_eq!(content(reader), [0; 6]);
    }
}
