//! Extension claims: statements about a task for which CWT has no registered claim.

use super::{Claims, ClockSource, Sequence};
use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Sink, SinkError};
use crate::label;
use crate::name::Reference;

/// ```cddl
/// ext = {                       ; at least one member, else the whole key is absent
///   ? 1: 1 / 2,                 ; clock: absent = synchronised, 1 = beacon, 2 = none
///   ? 2: [uint .size 4, uint],  ; sequence: [epoch, counter]
///   ? 3: uint .size 4,          ; schema
///   ? 4: bstr .size 25,         ; trace
///   ? 5: tstr .size (1..64),    ; reference
///   ? 6: bstr .size 8,          ; beacon
///   ? 7: uint .size 4,          ; ttl
///   ? 8: uint .size 2,          ; attempts
///   ? 9: uint .size 4,          ; timeout
///   ? 10: uint .size 4,         ; retention
///   ? 11: bstr .size 32         ; request
/// }
/// ```
impl<'a> Claims<'a> {
    /// Returns the number of members of the extension map; 0 if the map is absent.
    pub(super) fn extension_count(&self) -> u64 {
        let present = [
            self.clock != ClockSource::Synchronised,
            self.sequence.is_some(),
            self.schema.is_some(),
            self.trace.is_some(),
            self.reference.is_some(),
            self.beacon.is_some(),
            self.ttl.is_some(),
            self.attempts.is_some(),
            self.timeout.is_some(),
            self.retention.is_some(),
            self.request.is_some(),
        ];
        present.iter().filter(|present| **present).count() as u64
    }

    pub(super) fn encode_extensions(&self, count: u64, sink: &mut impl Sink) -> Result<(), SinkError> {
        sink.map(count)?;
        // The default is encoded as absent only.
        if let Some(code) = clock_code(self.clock) {
            put_uint(sink, label::EXT_CLOCK, Some(code))?;
        }
        if let Some(Sequence { epoch, counter }) = self.sequence {
            sink.uint(label::EXT_SEQUENCE)?;
            sink.array(2)?;
            sink.uint(u64::from(epoch))?;
            sink.uint(counter)?;
        }
        put_uint(sink, label::EXT_SCHEMA, self.schema.map(u64::from))?;
        put_bytes(sink, label::EXT_TRACE, self.trace.as_ref().map(<[u8; 25]>::as_slice))?;
        if let Some(reference) = &self.reference {
            sink.uint(label::EXT_REFERENCE)?;
            sink.text(reference.as_str())?;
        }
        put_bytes(sink, label::EXT_BEACON, self.beacon.as_ref().map(<[u8; 8]>::as_slice))?;
        put_uint(sink, label::EXT_TTL, self.ttl.map(u64::from))?;
        put_uint(sink, label::EXT_ATTEMPTS, self.attempts.map(u64::from))?;
        put_uint(sink, label::EXT_TIMEOUT, self.timeout.map(u64::from))?;
        put_uint(sink, label::EXT_RETENTION, self.retention.map(u64::from))?;
        put_bytes(sink, label::EXT_REQUEST, self.request.as_ref().map(<[u8; 32]>::as_slice))
    }

    pub(super) fn decode_extensions(&mut self, decoder: &mut Decoder<'a>) -> Result<(), DecodeError> {
        for _ in 0..decoder.map(11)? {
            match decoder.uint()? {
                label::EXT_CLOCK => self.clock = clock_from_code(decoder.uint()?)?,
                label::EXT_SEQUENCE => {
                    decoder.array(2)?;
                    let epoch = narrow(decoder.uint()?)?;
                    self.sequence = Some(Sequence { epoch, counter: decoder.uint()? });
                }
                label::EXT_SCHEMA => self.schema = Some(narrow(decoder.uint()?)?),
                label::EXT_TRACE => self.trace = Some(*decoder.bytes_exact()?),
                label::EXT_REFERENCE => {
                    self.reference = Some(Reference::new(decoder.text()?).map_err(|_| DecodeError)?);
                }
                label::EXT_BEACON => self.beacon = Some(*decoder.bytes_exact()?),
                label::EXT_TTL => self.ttl = Some(narrow(decoder.uint()?)?),
                label::EXT_ATTEMPTS => self.attempts = Some(narrow(decoder.uint()?)?),
                label::EXT_TIMEOUT => self.timeout = Some(narrow(decoder.uint()?)?),
                label::EXT_RETENTION => self.retention = Some(narrow(decoder.uint()?)?),
                label::EXT_REQUEST => self.request = Some(*decoder.bytes_exact()?),
                _ => return Err(DecodeError),
            }
        }
        Ok(())
    }
}

fn put_uint(sink: &mut impl Sink, label: u64, value: Option<u64>) -> Result<(), SinkError> {
    value.map_or(Ok(()), |value| {
        sink.uint(label)?;
        sink.uint(value)
    })
}

fn put_bytes(sink: &mut impl Sink, label: u64, value: Option<&[u8]>) -> Result<(), SinkError> {
    value.map_or(Ok(()), |value| {
        sink.uint(label)?;
        sink.bytes(value)
    })
}

fn narrow<T: TryFrom<u64>>(value: u64) -> Result<T, DecodeError> {
    T::try_from(value).map_err(|_| DecodeError)
}

const fn clock_code(clock: ClockSource) -> Option<u64> {
    match clock {
        ClockSource::Synchronised => None,
        ClockSource::Beacon => Some(1),
        ClockSource::None => Some(2),
    }
}

const fn clock_from_code(code: u64) -> Result<ClockSource, DecodeError> {
    match code {
        1 => Ok(ClockSource::Beacon),
        2 => Ok(ClockSource::None),
        _ => Err(DecodeError),
    }
}
