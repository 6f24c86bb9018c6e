//! AES-256-GCM (SP 800-38D section 7) with little stack and code: one copy of the cipher, associated data in pieces.
//!
//! The general implementation needs the associated data in one buffer, which takes 1 KiB of stack.

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::{Block, BlockCipherEncrypt, KeyInit};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroize;

use crate::constant_time::tags_match;
use crate::error::Rejected;
use crate::secret::Secret;

/// Maximum size of a message, in bytes, before the 32-bit counter wraps around (section 5.2.1.1).
const MAX_LEN: u64 = (1 << 36) - 32;

pub(crate) fn encrypt(
    key: &Secret<32>,
    iv: &[u8; 12],
    aad: &[&[u8]],
    buffer: &mut [u8],
) -> Result<[u8; 16], Rejected> {
    if buffer.len() as u64 > MAX_LEN {
        return Err(Rejected);
    }
    let cipher = Aes256::new(key.as_bytes().into());
    apply_keystream(&cipher, iv, buffer);
    Ok(tag(&cipher, iv, aad, buffer))
}

/// Checks the tag, then decrypts.
pub(crate) fn decrypt(
    key: &Secret<32>,
    iv: &[u8; 12],
    aad: &[&[u8]],
    buffer: &mut [u8],
    expected: &[u8; 16],
) -> Result<(), Rejected> {
    let cipher = Aes256::new(key.as_bytes().into());
    check_with(&cipher, iv, aad, buffer, expected)?;
    apply_keystream(&cipher, iv, buffer);
    Ok(())
}

pub(crate) fn check(
    key: &Secret<32>,
    iv: &[u8; 12],
    aad: &[&[u8]],
    ciphertext: &[u8],
    expected: &[u8; 16],
) -> Result<(), Rejected> {
    check_with(&Aes256::new(key.as_bytes().into()), iv, aad, ciphertext, expected)
}

fn check_with(
    cipher: &Aes256,
    iv: &[u8; 12],
    aad: &[&[u8]],
    ciphertext: &[u8],
    expected: &[u8; 16],
) -> Result<(), Rejected> {
    // The correct tag of modified bytes is secret.
    let mut tag = tag(cipher, iv, aad, ciphertext);
    let matches = tags_match(&tag, expected);
    tag.zeroize();
    if matches { Ok(()) } else { Err(Rejected) }
}

/// Returns `GHASH(H, A, C) xor E(K, J0)`, with `J0 = IV || 00000001`.
#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
fn tag(cipher: &Aes256, iv: &[u8; 12], aad: &[&[u8]], ciphertext: &[u8]) -> [u8; 16] {
    let mut hash_key = ghash::Key::default();
    cipher.encrypt_block(&mut hash_key);
    let mut hash = GHash::new(&hash_key);
    hash_key.zeroize();
    let aad_len = absorb(&mut hash, aad);
    let len = absorb(&mut hash, &[ciphertext]);
    hash.update(&[(u128::from(aad_len * 8) << 64 | u128::from(len * 8)).to_be_bytes().into()]);

    let mut mask = counter_block(iv, 1);
    cipher.encrypt_block(&mut mask);
    let mut tag: [u8; 16] = hash.finalize().into();
    tag.iter_mut().zip(&mask).for_each(|(byte, mask)| *byte ^= mask);
    // The mask is enough to compute a tag for other bytes.
    mask.zeroize();
    tag
}

/// Hashes the concatenated pieces, padded with zeros to a whole block, and returns their length.
fn absorb(hash: &mut GHash, pieces: &[&[u8]]) -> u64 {
    let (mut block, mut filled, mut len) = (ghash::Block::default(), 0, 0);
    for byte in pieces.iter().copied().flatten() {
        if let Some(place) = block.get_mut(filled) {
            *place = *byte;
        }
        filled += 1;
        len += 1;
        if filled == 16 {
            hash.update(core::slice::from_ref(&block));
            filled = 0;
        }
    }
    if filled > 0 {
        block.iter_mut().skip(filled).for_each(|byte| *byte = 0);
        hash.update(core::slice::from_ref(&block));
    }
    len
}

/// Applies counter mode from `J0 + 1`, two blocks at a time, which is the parallelism of the cipher.
#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
fn apply_keystream(cipher: &Aes256, iv: &[u8; 12], buffer: &mut [u8]) {
    let mut counter = 2_u32;
    let mut stream = [Block::<Aes256>::default(); 2];
    for chunk in buffer.chunks_mut(32) {
        stream = [counter_block(iv, counter), counter_block(iv, counter.wrapping_add(1))];
        counter = counter.wrapping_add(2);
        cipher.encrypt_blocks(&mut stream);
        chunk.iter_mut().zip(stream.iter().flatten()).for_each(|(byte, mask)| *byte ^= mask);
    }
    stream.iter_mut().for_each(Zeroize::zeroize);
}

fn counter_block(iv: &[u8; 12], counter: u32) -> Block<Aes256> {
    let mut block = Block::<Aes256>::default();
    block.iter_mut().zip(iv.iter().chain(&counter.to_be_bytes())).for_each(|(to, from)| *to = *from);
    block
}

#[cfg(test)]
mod tests;
