//! Receipts of tasks in a batch (RFC 9942): the signed root and the inclusion path of the task.

use core::ops::RangeInclusive;

use super::MAX_BATCH;
use super::tree::{Hash, path_len, root_above};
use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Comparer, Counter, Sink, SinkError};
use crate::kid::KeyId;
use crate::label;

/// The `typ` of a receipt, which differs from those of tasks and results.
const TYP: &str = "application/vnd.taskseal.batch.v1+cose";

/// Maximum size of a receipt's protected header, in bytes: that of a batch of 256 tasks or more.
pub(crate) const MAX_RECEIPT_HEADER: usize = 66;

const SIZES: RangeInclusive<u64> = 1..=MAX_BATCH as u64;

/// A decoded receipt that is not verified.
///
/// ```cddl
/// receipt = #6.18([ r-hdr, { 396: { -1: [ bstr .cbor proof ] } }, nil, bstr .size 64 ])
/// r-hdr   = bstr .cbor { 1: -7, 4: kid, 16: typ, 395: 1, -95348: size }
/// proof   = [ size, index: uint, [ * bstr .size 32 ] ]
/// size    = uint .ge 1 .le 1024
/// ```
///
/// The root alone does not determine the number of leaves, because a path fits trees of several sizes. The signed
/// header does, so a receipt has exactly one valid encoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receipt<'a> {
    pub(crate) header_bytes: &'a [u8],
    pub(crate) kid: KeyId,
    size: usize,
    index: usize,
    /// The encoded items of the path.
    path: &'a [u8],
    pub(crate) signature: &'a [u8; 64],
}

impl<'a> Receipt<'a> {
    /// Decodes `bytes`, which must be deterministically encoded.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let receipt = Self::decode_loosely(bytes)?;
        let mut comparer = Comparer(bytes);
        let frame = Frame { kid: receipt.kid, size: receipt.size, index: receipt.index };
        frame.encode(receipt.path(), receipt.signature, &mut comparer).map_err(|_| DecodeError)?;
        Decoder::new(comparer.0).end()?;
        Ok(receipt)
    }

    fn decode_loosely(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let decoder = &mut Decoder::new(bytes);
        if decoder.tag()? != label::TAG_SIGN1 {
            return Err(DecodeError);
        }
        decoder.array(4)?;
        let header_bytes = decoder.bytes()?;
        let (kid, signed_size) = decode_header(header_bytes)?;
        if decoder.map(1)? != 1 || decoder.uint()? != label::VDP {
            return Err(DecodeError);
        }
        if decoder.map(1)? != 1 || decoder.int()? != label::VDP_INCLUSION {
            return Err(DecodeError);
        }
        decoder.array(1)?;
        let (size, index, path) = decode_proof(decoder.bytes()?)?;
        decoder.null()?;
        let signature = decoder.bytes_exact()?;
        decoder.end()?;
        if size != signed_size {
            return Err(DecodeError);
        }
        Ok(Self { header_bytes, kid, size, index, path, signature })
    }

    /// Returns the root that the path leads to from `leaf`.
    pub(crate) fn root(&self, leaf: Hash) -> Option<Hash> {
        root_above(leaf, self.size, self.index, self.path())
    }

    fn path(&self) -> impl Iterator<Item = &'a Hash> + use<'a> {
        let mut decoder = Decoder::new(self.path);
        core::iter::from_fn(move || decoder.bytes_exact().ok())
    }

    pub(crate) fn encoded_len(&self) -> Result<usize, SinkError> {
        receipt_len(self.kid, self.size, self.index)
    }

    pub(crate) fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        let frame = Frame { kid: self.kid, size: self.size, index: self.index };
        frame.encode(self.path(), self.signature, sink)
    }
}

/// Returns the kid and the signed size.
fn decode_header(bytes: &[u8]) -> Result<(KeyId, usize), DecodeError> {
    let decoder = &mut Decoder::new(bytes);
    decoder.map(5)?;
    if decoder.uint()? != label::ALG || decoder.int()? != label::ES256 || decoder.uint()? != label::KID {
        return Err(DecodeError);
    }
    let kid = KeyId::from_bytes(*decoder.bytes_exact()?);
    if decoder.uint()? != label::TYP || decoder.text()? != TYP {
        return Err(DecodeError);
    }
    if decoder.uint()? != label::VDS || decoder.uint()? != label::VDS_RFC9162_SHA256 {
        return Err(DecodeError);
    }
    if decoder.int()? != label::PRIVATE {
        return Err(DecodeError);
    }
    let size = decode_size(decoder)?;
    decoder.end()?;
    Ok((kid, size))
}

/// Returns size, index and the encoded items of the path.
fn decode_proof(bytes: &[u8]) -> Result<(usize, usize, &[u8]), DecodeError> {
    let decoder = &mut Decoder::new(bytes);
    decoder.array(3)?;
    let size = decode_size(decoder)?;
    let index = usize::try_from(decoder.uint()?).map_err(|_| DecodeError)?;
    if index >= size {
        return Err(DecodeError);
    }
    // A path of another length does not lead to a root.
    let len = path_len(size, index);
    decoder.array(len as u64)?;
    let path = decoder.rest();
    for _ in 0..len {
        decoder.bytes_exact::<32>()?;
    }
    decoder.end()?;
    Ok((size, index, path))
}

fn decode_size(decoder: &mut Decoder<'_>) -> Result<usize, DecodeError> {
    let size = decoder.uint()?;
    if !SIZES.contains(&size) {
        return Err(DecodeError);
    }
    usize::try_from(size).map_err(|_| DecodeError)
}

/// A receipt without its path and signature.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) kid: KeyId,
    pub(crate) size: usize,
    pub(crate) index: usize,
}

impl Frame {
    /// Writes a receipt. `path` must have the length that size and index require.
    pub(crate) fn encode<'h>(
        &self,
        path: impl Iterator<Item = &'h Hash>,
        signature: &[u8; 64],
        sink: &mut impl Sink,
    ) -> Result<(), SinkError> {
        self.encode_with(path_len(self.size, self.index), path, signature, sink)
    }

    fn encode_with<'h>(
        &self,
        path_len: usize,
        path: impl Iterator<Item = &'h Hash>,
        signature: &[u8; 64],
        sink: &mut impl Sink,
    ) -> Result<(), SinkError> {
        sink.tag(label::TAG_SIGN1)?;
        sink.array(4)?;
        sink.bytes_head(count(|sink| encode_header(self.kid, self.size, sink))?)?;
        encode_header(self.kid, self.size, sink)?;
        sink.map(1)?;
        sink.uint(label::VDP)?;
        sink.map(1)?;
        sink.int(label::VDP_INCLUSION)?;
        sink.array(1)?;
        let start_len = count(|sink| self.encode_proof_start(path_len, sink))?;
        sink.bytes_head(start_len + path_len * ITEM_LEN)?;
        self.encode_proof_start(path_len, sink)?;
        for hash in path {
            sink.bytes(hash)?;
        }
        sink.null()?;
        sink.bytes(signature)
    }

    fn encode_proof_start(&self, path_len: usize, sink: &mut impl Sink) -> Result<(), SinkError> {
        sink.array(3)?;
        sink.uint(self.size as u64)?;
        sink.uint(self.index as u64)?;
        sink.array(path_len as u64)
    }
}

/// Size of an encoded hash, in bytes.
const ITEM_LEN: usize = 34;

/// Writes the protected header of the receipts of a batch of `size` tasks.
pub(crate) fn encode_header(kid: KeyId, size: usize, sink: &mut impl Sink) -> Result<(), SinkError> {
    sink.map(5)?;
    sink.uint(label::ALG)?;
    sink.int(label::ES256)?;
    sink.uint(label::KID)?;
    sink.bytes(kid.as_bytes())?;
    sink.uint(label::TYP)?;
    sink.text(TYP)?;
    sink.uint(label::VDS)?;
    sink.uint(label::VDS_RFC9162_SHA256)?;
    sink.int(label::PRIVATE)?;
    sink.uint(size as u64)
}

/// Returns the size of the receipt of task `index` of `size`, in bytes.
pub(crate) fn receipt_len(kid: KeyId, size: usize, index: usize) -> Result<usize, SinkError> {
    encoded_len(Frame { kid, size, index }, path_len(size, index))
}

/// Returns an upper bound for the receipts of a batch of `size` tasks, in bytes: the first leaf has the longest path,
/// the last leaf the longest index.
pub(crate) fn longest_receipt(kid: KeyId, size: usize) -> Result<usize, SinkError> {
    encoded_len(Frame { kid, size, index: size.saturating_sub(1) }, path_len(size, 0))
}

fn encoded_len(frame: Frame, path_len: usize) -> Result<usize, SinkError> {
    let path = core::iter::repeat_n(&[0; 32], path_len);
    count(|sink| frame.encode_with(path_len, path, &[0; 64], sink))
}

fn count(encode: impl FnOnce(&mut Counter) -> Result<(), SinkError>) -> Result<usize, SinkError> {
    let mut counter = Counter::default();
    encode(&mut counter)?;
    Ok(counter.0)
}

#[cfg(test)]
mod tests;
