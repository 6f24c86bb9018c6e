//! The wire format of a signed keyset: a COSE_Sign1 around the keyset, decoded strictly and without copies.

use sha2::{Digest, Sha256};

use super::entry::Entry;
use super::refusal::KeysetRefusal;
use super::{MAX_ENTRIES, MAX_KEYSET, MAX_SEQUENCE};
use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Comparer, Counter, Sink, SinkError};
use crate::claims::MAX_TIME;
use crate::kid::KeyId;
use crate::label;
use crate::name::KeysetName;

/// The `typ` that distinguishes a keyset from other signed objects (RFC 9596).
const MEDIA_TYPE: &str = "application/vnd.taskseal.keyset.v1+cose";
/// Size of the protected header, in bytes: map 1, alg 2, kid 2 + 8, typ 1 + 2 + 39.
pub(super) const HEADER_LEN: usize = 55;
/// Size of `r || s`, in bytes.
pub(super) const SIGNATURE_LEN: usize = 64;

/// ```cddl
/// signed-keyset = #6.18([ header, {}, bstr .cbor keyset, bstr .size 64 ])
/// header        = bstr .cbor { 1: -7, 4: kid, 16: "application/vnd.taskseal.keyset.v1+cose" }
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) root: KeyId,
    pub(super) header: &'a [u8; HEADER_LEN],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8; SIGNATURE_LEN],
    pub(super) head: Head<'a>,
    pub(super) entries: Entries<'a>,
}

impl<'a> Signed<'a> {
    /// Decodes `bytes`, which must be deterministically encoded.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, KeysetRefusal> {
        if bytes.len() > MAX_KEYSET {
            return Err(KeysetRefusal::TooLarge);
        }
        Self::decode_strictly(bytes).map_err(|DecodeError| KeysetRefusal::Malformed)
    }

    fn decode_strictly(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.tag()? != label::TAG_SIGN1 {
            return Err(DecodeError);
        }
        decoder.array(4)?;
        let header = decoder.bytes_exact()?;
        let root = decode_header(header)?;
        decoder.map(0)?;
        let payload = decoder.bytes()?;
        let signature = decoder.bytes_exact()?;
        decoder.end()?;
        // The decoder accepts shortest heads only; this comparison is a second, independent check.
        let mut comparer = Comparer(bytes);
        encode_start(root, payload.len(), &mut comparer).map_err(|_| DecodeError)?;
        comparer.put(payload).map_err(|_| DecodeError)?;
        comparer.bytes(signature).map_err(|_| DecodeError)?;
        Decoder::new(comparer.0).end()?;
        let (head, entries) = decode_payload(payload)?;
        Ok(Self { root, header, payload, signature, head, entries })
    }
}

/// Writes everything before the payload of `payload_len` bytes, including the head of its byte string.
pub(super) fn encode_start(root: KeyId, payload_len: usize, sink: &mut impl Sink) -> Result<(), SinkError> {
    sink.tag(label::TAG_SIGN1)?;
    sink.array(4)?;
    sink.bytes_head(HEADER_LEN)?;
    encode_header(root, sink)?;
    sink.map(0)?;
    sink.bytes_head(payload_len)
}

pub(super) fn encode_header(root: KeyId, sink: &mut impl Sink) -> Result<(), SinkError> {
    sink.map(3)?;
    sink.uint(label::ALG)?;
    sink.int(label::ES256)?;
    sink.uint(label::KID)?;
    sink.bytes(root.as_bytes())?;
    sink.uint(label::TYP)?;
    sink.text(MEDIA_TYPE)
}

fn decode_header(bytes: &[u8]) -> Result<KeyId, DecodeError> {
    let decoder = &mut Decoder::new(bytes);
    decoder.map(3)?;
    if (decoder.uint()?, decoder.int()?, decoder.uint()?) != (label::ALG, label::ES256, label::KID) {
        return Err(DecodeError);
    }
    let root = KeyId::from_bytes(*decoder.bytes_exact()?);
    // The comparison checks the rest, which the format fixes.
    let mut comparer = Comparer(bytes);
    encode_header(root, &mut comparer).map_err(|_| DecodeError)?;
    Decoder::new(comparer.0).end()?;
    Ok(root)
}

/// A keyset without its entries.
///
/// ```cddl
/// keyset = { 1: tstr .size (1..64), 2: 1..9007199254740991, 3: time, 4: time, ? 5: bstr .size 32,
///            6: [ 1*256 entry ] }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) name: KeysetName<'a>,
    pub(super) sequence: u64,
    pub(super) issued_at: u64,
    pub(super) not_after: u64,
    pub(super) previous: Option<[u8; 32]>,
}

impl Head<'_> {
    pub(super) fn is_valid(&self) -> bool {
        (1..MAX_SEQUENCE).contains(&self.sequence)
            && self.previous.is_none() == (self.sequence == 1)
            && self.issued_at < self.not_after
            && self.not_after < MAX_TIME
    }

    /// Writes everything before the first of `count` entries.
    pub(super) fn encode(&self, count: u64, sink: &mut impl Sink) -> Result<(), SinkError> {
        sink.map(if self.previous.is_some() { 6 } else { 5 })?;
        sink.uint(1)?;
        sink.text(self.name.as_str())?;
        for (label, value) in [(2, self.sequence), (3, self.issued_at), (4, self.not_after)] {
            sink.uint(label)?;
            sink.uint(value)?;
        }
        if let Some(previous) = &self.previous {
            sink.uint(5)?;
            sink.bytes(previous)?;
        }
        sink.uint(6)?;
        sink.array(count)
    }
}

/// Writes a whole payload.
pub(super) fn encode_payload(
    head: &Head<'_>,
    entries: &[Entry<'_>],
    sink: &mut impl Sink,
) -> Result<(), SinkError> {
    head.encode(entries.len() as u64, sink)?;
    entries.iter().try_for_each(|entry| entry.encode(sink))
}

/// Returns the size of a signed keyset and of its payload, in bytes.
pub(super) fn lengths(head: &Head<'_>, entries: &[Entry<'_>]) -> Result<(usize, usize), SinkError> {
    let mut counter = Counter::default();
    encode_payload(head, entries, &mut counter)?;
    let payload = counter.0;
    encode_start(KeyId::from_bytes([0; 8]), payload, &mut counter)?;
    counter.bytes(&[0; SIGNATURE_LEN])?;
    Ok((counter.0, payload))
}

/// Returns the SHA-256 of a whole payload.
pub(super) fn payload_digest(head: &Head<'_>, entries: &[Entry<'_>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    encode_payload(head, entries, &mut hash).expect("a hash takes any number of bytes");
    hash.finalize().into()
}

fn decode_payload(bytes: &[u8]) -> Result<(Head<'_>, Entries<'_>), DecodeError> {
    let decoder = &mut Decoder::new(bytes);
    let members = decoder.map(6)?;
    expect_label(decoder, 1)?;
    let name = KeysetName::new(decoder.text()?).map_err(|_| DecodeError)?;
    expect_label(decoder, 2)?;
    let sequence = decoder.uint()?;
    expect_label(decoder, 3)?;
    let issued_at = decoder.uint()?;
    expect_label(decoder, 4)?;
    let not_after = decoder.uint()?;
    let previous = if members == 6 {
        expect_label(decoder, 5)?;
        Some(*decoder.bytes_exact()?)
    } else {
        None
    };
    expect_label(decoder, 6)?;
    let head = Head { name, sequence, issued_at, not_after, previous };
    let left = decoder.array_up_to(MAX_ENTRIES as u64)?;
    if left == 0 || !head.is_valid() {
        return Err(DecodeError);
    }
    let entries = Entries { decoder: *decoder, left };

    let mut comparer = Comparer(bytes);
    head.encode(left, &mut comparer).map_err(|_| DecodeError)?;
    let (mut rest, mut last) = (entries, None);
    for entry in &mut rest {
        let entry = entry?;
        // Entries are in ascending order without duplicates. This also prevents one P-256 key from having two purposes.
        if last.is_some_and(|last| last >= entry.kid()) {
            return Err(DecodeError);
        }
        last = Some(entry.kid());
        entry.encode(&mut comparer).map_err(|_| DecodeError)?;
    }
    rest.decoder.end()?;
    Decoder::new(comparer.0).end()?;
    Ok((head, entries))
}

fn expect_label(decoder: &mut Decoder<'_>, label: u64) -> Result<(), DecodeError> {
    if decoder.uint()? == label { Ok(()) } else { Err(DecodeError) }
}

/// Iterates over encoded entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'a> {
    decoder: Decoder<'a>,
    left: u64,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(Entry::decode(&mut self.decoder))
    }
}
