//! A buffer for secrets that leaves no copies when it grows, unlike a vector.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read, Write};

use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

/// Initial capacity for a body whose length is not known, in bytes.
const USUAL_BODY: usize = 512;

/// Bytes that are wiped on drop, and when they move to a larger allocation.
#[derive(Default)]
pub struct WipedBuffer(Zeroizing<Vec<u8>>);

impl WipedBuffer {
    /// Creates an empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Returns `value` as JSON.
    ///
    /// # Errors
    /// The value cannot be serialised.
    pub fn json(value: &impl Serialize) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        let mut json = Self::with_capacity(USUAL_BODY);
        serde_json::to_writer(&mut json, value)?;
        Ok(json.into_bytes())
    }

    /// Appends `bytes`.
    pub fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity() * 2)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Appends up to `limit` bytes of `source`. Returns their number.
    ///
    /// # Errors
    /// The errors of `source`.
    pub fn read_from(&mut self, source: &mut (impl Read + ?Sized), limit: usize) -> io::Result<usize> {
        let mut chunk = Zeroizing::new([0; 8192]);
        let mut total = 0;
        while total < limit {
            let room = chunk.len().min(limit - total);
            let read = match source.read(chunk.get_mut(..room).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.extend(chunk.get(..read).unwrap_or_default());
            total += read;
        }
        Ok(total)
    }

    /// Appends the next line of `source` with its line break, up to `limit` bytes. Returns the number of bytes; 0 at the
    /// end of `source`.
    ///
    /// # Errors
    /// The errors of `source`.
    pub fn read_line(&mut self, source: &mut (impl BufRead + ?Sized), limit: usize) -> io::Result<usize> {
        let mut total = 0;
        while total < limit {
            let available = match source.fill_buf() {
                Ok(available) => available.get(..limit - total).unwrap_or(available),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = available.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let line = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
            self.extend(line);
            let read = line.len();
            source.consume(read);
            total += read;
            if read == 0 || end.is_some() {
                break;
            }
        }
        Ok(total)
    }

    /// Wipes the bytes and keeps the capacity.
    pub fn clear(&mut self) {
        self.0.zeroize();
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes without copying them.
    #[must_use]
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl fmt::Debug for WipedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WipedBuffer").field("len", &self.0.len()).finish_non_exhaustive()
    }
}

impl Write for WipedBuffer {
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
    fn bytes_survive_growth() {
        let mut buffer = WipedBuffer::with_capacity(3);
        for part in [b"ab".as_slice(), b"", b"cdef", &[b'x'; 500]] {
            buffer.write_all(part).unwrap();
        }
        assert_eq!(format!("{buffer:?}"), "WipedBuffer { len: 506, .. }");
        assert!(buffer.into_bytes().starts_with(b"abcdefxx"));
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        let mut buffer = WipedBuffer::default();
        let mut source = io::repeat(7);
        assert_eq!(buffer.read_from(&mut source, 20_000).unwrap(), 20_000);
        assert_eq!(buffer.as_bytes(), vec![7; 20_000]);
        buffer.clear();
        assert_eq!(buffer.read_from(&mut [1, 2].as_slice(), 20_000).unwrap(), 2);
        assert_eq!(buffer.as_bytes(), [1, 2]);
    }

    #[test]
    fn lines_are_read_one_at_a_time() {
        // Through a buffer that is shorter than a line.
        let mut source = io::BufReader::with_capacity(3, b"first\n\nthird, long".as_slice());
        let mut line = |limit| {
            let mut buffer = WipedBuffer::default();
            let read = buffer.read_line(&mut source, limit).unwrap();
            assert_eq!(read, buffer.as_bytes().len());
            String::from_utf8(buffer.into_bytes().to_vec()).unwrap()
        };
        assert_eq!(
            [line(100), line(100), line(7), line(100), line(100)],
            ["first\n", "\n", "third, ", "long", ""]
        );
    }
}
