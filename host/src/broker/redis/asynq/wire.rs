//! The protobuf wire format, as far as a task message uses it.

use bytes::Bytes;

use super::Message;

#[cfg(test)]
mod tests;

/// Why bytes are not a task message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeMessageError {
    /// The message is longer than [`Message::MAX_ENCODED_LEN`].
    #[error("task message is too long")]
    TooLong,
    /// The message ends inside a field.
    #[error("task message ends inside a field")]
    Truncated,
    /// A number has more than 64 bits.
    #[error("task message has a malformed number")]
    Number,
    /// A field number is zero or greater than 2^29 - 1.
    #[error("task message has an invalid field number")]
    FieldNumber,
    /// A field has the wire type of another field, or an unknown one.
    #[error("field {0} of the task message has the wrong wire type")]
    WireType(u32),
    /// A text is not UTF-8.
    #[error("field {0} of the task message is not UTF-8")]
    Utf8(u32),
    /// A number is outside the range of its field.
    #[error("field {0} of the task message is out of range")]
    Range(u32),
    /// The message has more than [`Message::MAX_HEADERS`] headers.
    #[error("task message has too many headers")]
    TooManyHeaders,
}

impl Message {
    /// Returns the protobuf form: fields in ascending order, defaults left out, headers in order of their keys. Equal
    /// messages encode to the same bytes, which are those the Go library writes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads the protobuf form. Unknown fields are skipped; of a repeated field the last one counts.
    ///
    /// Stricter than protobuf where leniency would only help an attacker: a known field with another wire type, a
    /// number out of range and a group are errors.
    ///
    /// # Errors
    /// [`DecodeMessageError`] for the first error found.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        decode(bytes, Bytes::copy_from_slice)
    }

    /// Reads the protobuf form; the payload shares the memory of `bytes`.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub(in crate::broker::redis) fn decode_shared(bytes: &Bytes) -> Result<Self, DecodeMessageError> {
        decode(bytes, |payload| bytes.slice_ref(payload))
    }
}

fn encode(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.payload.len().saturating_add(160));
    put_bytes(&mut out, TASK_TYPE, message.task_type.as_bytes());
    put_bytes(&mut out, PAYLOAD, &message.payload);
    put_bytes(&mut out, ID, message.id.as_bytes());
    put_bytes(&mut out, QUEUE, message.queue.as_bytes());
    put_int(&mut out, RETRY, i64::from(message.retry));
    put_int(&mut out, RETRIED, i64::from(message.retried));
    put_bytes(&mut out, ERROR_MSG, message.error_msg.as_bytes());
    put_int(&mut out, TIMEOUT, message.timeout);
    put_int(&mut out, DEADLINE, message.deadline);
    put_bytes(&mut out, UNIQUE_KEY, message.unique_key.as_bytes());
    put_int(&mut out, LAST_FAILED_AT, message.last_failed_at);
    put_int(&mut out, RETENTION, message.retention);
    put_int(&mut out, COMPLETED_AT, message.completed_at);
    put_bytes(&mut out, GROUP_KEY, message.group_key.as_bytes());
    for (key, value) in &message.headers {
        let mut entry = Vec::with_capacity(key.len().saturating_add(value.len()).saturating_add(8));
        // The Go library writes key and value of a map entry even if they are empty.
        put_delimited(&mut entry, ENTRY_KEY, key.as_bytes());
        put_delimited(&mut entry, ENTRY_VALUE, value.as_bytes());
        put_delimited(&mut out, HEADERS, &entry);
    }
    out
}

fn decode(bytes: &[u8], payload_of: impl Fn(&[u8]) -> Bytes) -> Result<Message, DecodeMessageError> {
    if bytes.len() > Message::MAX_ENCODED_LEN {
        return Err(DecodeMessageError::TooLong);
    }
    let mut message = Message::default();
    let mut reader = Reader(bytes);
    while let Some((field, value)) = reader.field()? {
        match field {
            TASK_TYPE => message.task_type = value.text(field)?,
            PAYLOAD => message.payload = payload_of(value.bytes(field)?),
            ID => message.id = value.text(field)?,
            QUEUE => message.queue = value.text(field)?,
            RETRY => message.retry = value.int32(field)?,
            RETRIED => message.retried = value.int32(field)?,
            ERROR_MSG => message.error_msg = value.text(field)?,
            TIMEOUT => message.timeout = value.int64(field)?,
            DEADLINE => message.deadline = value.int64(field)?,
            UNIQUE_KEY => message.unique_key = value.text(field)?,
            LAST_FAILED_AT => message.last_failed_at = value.int64(field)?,
            RETENTION => message.retention = value.int64(field)?,
            COMPLETED_AT => message.completed_at = value.int64(field)?,
            GROUP_KEY => message.group_key = value.text(field)?,
            HEADERS => {
                let (key, value) = header(value.bytes(field)?)?;
                message.headers.insert(key, value);
                if message.headers.len() > Message::MAX_HEADERS {
                    return Err(DecodeMessageError::TooManyHeaders);
                }
            }
            _ => {}
        }
    }
    Ok(message)
}

fn header(bytes: &[u8]) -> Result<(String, String), DecodeMessageError> {
    let mut entry = (String::new(), String::new());
    let mut reader = Reader(bytes);
    while let Some((field, value)) = reader.field()? {
        match field {
            ENTRY_KEY => entry.0 = value.text(HEADERS)?,
            ENTRY_VALUE => entry.1 = value.text(HEADERS)?,
            _ => {}
        }
    }
    Ok(entry)
}

/// The unread bytes.
struct Reader<'a>(&'a [u8]);

/// The value of a field. No known field is a fixed-width number, so such values are only skipped.
enum Value<'a> {
    Varint(u64),
    Delimited(&'a [u8]),
    Fixed,
}

impl<'a> Reader<'a> {
    fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeMessageError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3)
            .ok()
            .filter(|field| (1..=MAX_FIELD).contains(field))
            .ok_or(DecodeMessageError::FieldNumber)?;
        let value = match tag & 7 {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => self.take(8).map(|_| Value::Fixed)?,
            DELIMITED => {
                let len = usize::try_from(self.varint()?).map_err(|_| DecodeMessageError::Truncated)?;
                Value::Delimited(self.take(len)?)
            }
            FIXED32 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(DecodeMessageError::WireType(field)),
        };
        Ok(Some((field, value)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeMessageError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeMessageError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, DecodeMessageError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(DecodeMessageError::Truncated)?;
            self.0 = rest;
            // The tenth byte holds only the 64th bit.
            if shift == 63 && byte > 1 {
                return Err(DecodeMessageError::Number);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeMessageError::Number)
    }
}

impl<'a> Value<'a> {
    fn bytes(&self, field: u32) -> Result<&'a [u8], DecodeMessageError> {
        match *self {
            Self::Delimited(bytes) => Ok(bytes),
            _ => Err(DecodeMessageError::WireType(field)),
        }
    }

    fn text(&self, field: u32) -> Result<String, DecodeMessageError> {
        let text = str::from_utf8(self.bytes(field)?).map_err(|_| DecodeMessageError::Utf8(field))?;
        Ok(text.to_owned())
    }

    fn int64(&self, field: u32) -> Result<i64, DecodeMessageError> {
        match *self {
            Self::Varint(value) => Ok(value.cast_signed()),
            _ => Err(DecodeMessageError::WireType(field)),
        }
    }

    fn int32(&self, field: u32) -> Result<i32, DecodeMessageError> {
        i32::try_from(self.int64(field)?).map_err(|_| DecodeMessageError::Range(field))
    }
}

fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_delimited(out, field, bytes);
    }
}

fn put_delimited(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | DELIMITED);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_int(out: &mut Vec<u8>, field: u32, value: i64) {
    if value != 0 {
        put_varint(out, u64::from(field) << 3 | VARINT);
        // A negative number is sign-extended to 64 bits, whatever the width of the field.
        put_varint(out, value.cast_unsigned());
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

const MAX_FIELD: u32 = (1 << 29) - 1;

const TASK_TYPE: u32 = 1;
const PAYLOAD: u32 = 2;
const ID: u32 = 3;
const QUEUE: u32 = 4;
const RETRY: u32 = 5;
const RETRIED: u32 = 6;
const ERROR_MSG: u32 = 7;
const TIMEOUT: u32 = 8;
const DEADLINE: u32 = 9;
const UNIQUE_KEY: u32 = 10;
const LAST_FAILED_AT: u32 = 11;
const RETENTION: u32 = 12;
const COMPLETED_AT: u32 = 13;
const GROUP_KEY: u32 = 14;
const HEADERS: u32 = 15;

const ENTRY_KEY: u32 = 1;
const ENTRY_VALUE: u32 = 2;
