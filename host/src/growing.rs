//! A buffer of secrets that grows without leaving copies behind: a vector that grows by itself does.

use std::io::{self, Write};

use zeroize::Zeroizing;

/// Bytes that are wiped when they are dropped, and whenever they move to a larger place.
#[derive(Debug, Default)]
pub(crate) struct Growing(Zeroizing<Vec<u8>>);

impl Growing {
    /// An empty buffer with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Number of bytes in it.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends `bytes`.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity() * 2)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// The bytes, where they are.
    pub(crate) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_there_after_growth() {
        let mut buffer = Growing::with_capacity(3);
        for part in [b"ab".as_slice(), b"", b"cdef", &[b'x'; 500]] {
            buffer.write_all(part).unwrap();
        }
        assert_eq!(buffer.len(), 506);
        assert!(buffer.into_bytes().starts_with(b"abcdefxx"));
    }
}
