//! Encoding into a sink: a buffer, a counter, a hash, or a comparison with bytes already there.
//!
//! One encoder serves sealing, sizing, hashing, and the check that decoded bytes are deterministically encoded.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::{ARRAY, BYTES, MAP, NINT, NULL, TAG, TEXT, UINT};

/// The sink accepts no more bytes: the buffer is full, or the bytes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SinkError;

/// Receives encoded bytes.
pub(crate) trait Sink {
    /// Writes all of `bytes` or none.
    fn put(&mut self, bytes: &[u8]) -> Result<(), SinkError>;

    /// Writes a head in its shortest form.
    fn head(&mut self, major: u8, argument: u64) -> Result<(), SinkError> {
        let major = major << 5;
        let wide = argument.to_be_bytes();
        let [.., b4, b5, b6, b7] = wide;
        match argument {
            0..=23 => self.put(&[major | b7]),
            24..=0xff => self.put(&[major | 24, b7]),
            0x100..=0xffff => self.put(&[major | 25, b6, b7]),
            0x1_0000..=0xffff_ffff => self.put(&[major | 26, b4, b5, b6, b7]),
            _ => {
                self.put(&[major | 27])?;
                self.put(&wide)
            }
        }
    }

    /// Writes an unsigned integer.
    fn uint(&mut self, value: u64) -> Result<(), SinkError> {
        self.head(UINT, value)
    }

    /// Writes an integer of either sign.
    fn int(&mut self, value: i64) -> Result<(), SinkError> {
        match u64::try_from(value) {
            Ok(value) => self.head(UINT, value),
            // RFC 8949 section 3.1: a negative integer n is encoded as -1 - n, which is !n in two's complement.
            Err(_) => self.head(NINT, (!value).unsigned_abs()),
        }
    }

    /// Writes a byte string.
    fn bytes(&mut self, value: &[u8]) -> Result<(), SinkError> {
        self.bytes_head(value.len())?;
        self.put(value)
    }

    /// Writes the head of a byte string of `len` bytes.
    fn bytes_head(&mut self, len: usize) -> Result<(), SinkError> {
        self.head(BYTES, len as u64)
    }

    /// Writes a text string.
    fn text(&mut self, value: &str) -> Result<(), SinkError> {
        self.head(TEXT, value.len() as u64)?;
        self.put(value.as_bytes())
    }

    /// Writes the head of an array of `len` items.
    fn array(&mut self, len: u64) -> Result<(), SinkError> {
        self.head(ARRAY, len)
    }

    /// Writes the head of a map of `len` pairs.
    fn map(&mut self, len: u64) -> Result<(), SinkError> {
        self.head(MAP, len)
    }

    /// Writes null.
    fn null(&mut self) -> Result<(), SinkError> {
        self.put(&[NULL])
    }

    /// Writes a tag.
    fn tag(&mut self, number: u64) -> Result<(), SinkError> {
        self.head(TAG, number)
    }
}

/// Counts bytes.
#[derive(Default)]
pub(crate) struct Counter(pub(crate) usize);

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.0 = self.0.checked_add(bytes.len()).ok_or(SinkError)?;
        Ok(())
    }
}

/// Writes into a buffer from its start.
pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    written: usize,
}

impl<'b> Writer<'b> {
    pub(crate) const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, written: 0 }
    }

    /// Continues after the first `written` bytes.
    pub(crate) const fn after(buffer: &'b mut [u8], written: usize) -> Self {
        Self { buffer, written }
    }

    /// Returns the number of bytes written.
    pub(crate) const fn position(&self) -> usize {
        self.written
    }

    /// Returns the bytes written.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.written).unwrap_or_default()
    }

    /// Reserves `len` bytes. Returns the bytes written before them, and the reserved bytes.
    pub(crate) fn reserve(&mut self, len: usize) -> Result<(&[u8], &mut [u8]), SinkError> {
        let end = self.written.checked_add(len).ok_or(SinkError)?;
        let (written, rest) = self.buffer.split_at_mut_checked(self.written).ok_or(SinkError)?;
        let (room, _) = rest.split_at_mut_checked(len).ok_or(SinkError)?;
        self.written = end;
        Ok((written, room))
    }
}

impl Sink for Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let end = self.written.checked_add(bytes.len()).ok_or(SinkError)?;
        let place = self.buffer.get_mut(self.written..end).ok_or(SinkError)?;
        // Unlike `copy_from_slice`, this contains no panic for different lengths.
        place.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.written = end;
        Ok(())
    }
}

/// Compares the written bytes with expected bytes.
pub(crate) struct Comparer<'a>(pub(crate) &'a [u8]);

impl Sink for Comparer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        // The bytes are public: an early return reveals nothing that the sender does not know.
        self.0 = self.0.strip_prefix(bytes).ok_or(SinkError)?;
        Ok(())
    }
}

impl Sink for Sha256 {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        Digest::update(self, bytes);
        Ok(())
    }
}

impl Sink for Hmac<Sha256> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        Mac::update(self, bytes);
        Ok(())
    }
}
