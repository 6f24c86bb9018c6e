//! A strict, bounded decoder that borrows from its input and never recurses.

use core::str;

use super::{ARRAY, BYTES, MAP, NINT, NULL, TAG, TEXT, UINT, head_len};

/// Bytes that the profile does not allow at this position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecodeError;

/// Reads consecutive items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Ends decoding; fails if bytes remain.
    pub(crate) const fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError) }
    }

    /// Returns the major type of the next item.
    pub(crate) fn peek_major(&self) -> Result<u8, DecodeError> {
        self.0.first().map(|initial| initial >> 5).ok_or(DecodeError)
    }

    /// Reads a head: major type and argument. Refuses indefinite lengths and heads that are not in the shortest form.
    fn head(&mut self) -> Result<(u8, u64), DecodeError> {
        let (initial, rest) = self.0.split_first().ok_or(DecodeError)?;
        let major = initial >> 5;
        let extra = match initial & 31 {
            small @ 0..=23 => {
                self.0 = rest;
                return Ok((major, u64::from(small)));
            }
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(DecodeError),
        };
        let (digits, rest) = rest.split_at_checked(extra).ok_or(DecodeError)?;
        let argument = digits.iter().fold(0, |value, digit| value << 8 | u64::from(*digit));
        if head_len(argument) != 1 + extra {
            return Err(DecodeError);
        }
        self.0 = rest;
        Ok((major, argument))
    }

    fn expect(&mut self, wanted: u8) -> Result<u64, DecodeError> {
        match self.head()? {
            (major, argument) if major == wanted => Ok(argument),
            _ => Err(DecodeError),
        }
    }

    /// Reads an unsigned integer.
    pub(crate) fn uint(&mut self) -> Result<u64, DecodeError> {
        self.expect(UINT)
    }

    /// Reads an integer of either sign.
    pub(crate) fn int(&mut self) -> Result<i64, DecodeError> {
        match self.head()? {
            (UINT, argument) => i64::try_from(argument).map_err(|_| DecodeError),
            // RFC 8949 section 3.1: the argument n encodes -1 - n.
            (NINT, argument) => i64::try_from(argument).map(|n| -1 - n).map_err(|_| DecodeError),
            _ => Err(DecodeError),
        }
    }

    /// Reads a byte string.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.expect(BYTES)?;
        self.take(len)
    }

    /// Reads a byte string of exactly `N` bytes.
    pub(crate) fn bytes_exact<const N: usize>(&mut self) -> Result<&'a [u8; N], DecodeError> {
        self.bytes()?.try_into().map_err(|_| DecodeError)
    }

    /// Reads a text string.
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.expect(TEXT)?;
        str::from_utf8(self.take(len)?).map_err(|_| DecodeError)
    }

    /// Reads the head of an array of exactly `len` items.
    pub(crate) fn array(&mut self, len: u64) -> Result<(), DecodeError> {
        if self.expect(ARRAY)? == len { Ok(()) } else { Err(DecodeError) }
    }

    /// Reads the head of an array of at most `max` items.
    pub(crate) fn array_up_to(&mut self, max: u64) -> Result<u64, DecodeError> {
        self.expect(ARRAY).and_then(|len| if len <= max { Ok(len) } else { Err(DecodeError) })
    }

    /// Reads the head of a map of at most `max` pairs.
    pub(crate) fn map(&mut self, max: u64) -> Result<u64, DecodeError> {
        self.expect(MAP).and_then(|len| if len <= max { Ok(len) } else { Err(DecodeError) })
    }

    /// Reads a tag.
    pub(crate) fn tag(&mut self) -> Result<u64, DecodeError> {
        self.expect(TAG)
    }

    /// Reads null.
    pub(crate) fn null(&mut self) -> Result<(), DecodeError> {
        self.0 = self.0.strip_prefix(&[NULL]).ok_or(DecodeError)?;
        Ok(())
    }

    /// Returns the bytes that remain.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Compares the declared length with the remaining bytes before it is used.
    fn take(&mut self, len: u64) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(len).map_err(|_| DecodeError)?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeError)?;
        self.0 = rest;
        Ok(taken)
    }
}
