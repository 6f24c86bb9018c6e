//! The subset of deterministic CBOR (RFC 8949 section 4.2.1) that the formats of this crate use.
//!
//! Integers, byte and text strings, arrays, maps, tags and null, with shortest heads and definite lengths.

pub(crate) mod decoder;
pub(crate) mod encoder;
#[cfg(test)]
mod tests;

/// Major type 0.
pub(crate) const UINT: u8 = 0;
/// Major type 1.
pub(crate) const NINT: u8 = 1;
/// Major type 2.
pub(crate) const BYTES: u8 = 2;
/// Major type 3.
pub(crate) const TEXT: u8 = 3;
/// Major type 4.
pub(crate) const ARRAY: u8 = 4;
/// Major type 5.
pub(crate) const MAP: u8 = 5;
/// Major type 6.
pub(crate) const TAG: u8 = 6;

/// The only simple value: null, which replaces a detached payload.
pub(crate) const NULL: u8 = 0xf6;

/// Returns the size of the head of an item with this argument, in bytes: 1, 2, 3, 5 or 9.
pub(crate) const fn head_len(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}
