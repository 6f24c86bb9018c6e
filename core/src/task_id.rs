//! Task ids: sixteen bytes, printed as a UUID.

use core::fmt;
use core::str;

/// A task id (`cti`, RFC 8392 section 3.1.7): 16 bytes, printed as a lower-case UUID (RFC 9562).
///
/// UUIDv7 is recommended, because such ids sort by time. Queues that identify tasks by text use the UUID form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId([u8; Self::LEN]);

impl TaskId {
    /// Size of a task id, in bytes.
    pub const LEN: usize = 16;
    /// Length of the text form, in characters.
    pub const TEXT_LEN: usize = 36;

    /// Creates a task id from sixteen bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Parses the text form. Returns `None` unless `text` is exactly the output of [`TaskId`]'s `Display`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::TEXT_LEN {
            return None;
        }
        let mut bytes = [0; Self::LEN];
        let mut digits = text.bytes();
        for (index, byte) in bytes.iter_mut().enumerate() {
            if HYPHEN_BEFORE.contains(&index) && digits.next() != Some(b'-') {
                return None;
            }
            *byte = nibble(digits.next()?)? << 4 | nibble(digits.next()?)?;
        }
        Some(Self(bytes))
    }

    /// Writes the text form into `buffer` and returns it.
    #[must_use]
    pub fn encode<'b>(&self, buffer: &'b mut [u8; Self::TEXT_LEN]) -> &'b str {
        let mut out = buffer.iter_mut();
        let mut put = |digit: u8| {
            if let Some(place) = out.next() {
                *place = digit;
            }
        };
        for (index, byte) in self.0.iter().enumerate() {
            if HYPHEN_BEFORE.contains(&index) {
                put(b'-');
            }
            put(hex_digit(byte >> 4));
            put(hex_digit(byte & 15));
        }
        str::from_utf8(buffer).unwrap_or("")
    }
}

/// Indexes of the bytes that follow a hyphen.
const HYPHEN_BEFORE: [usize; 4] = [4, 6, 8, 10];

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Upper-case digits are refused, so that an id has one text form.
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; Self::TEXT_LEN]))
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

#[cfg(test)]
mod tests;
