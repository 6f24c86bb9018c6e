//! AES-256-GCM (SP 800-38D section 7) in the memory of a microcontroller: the cipher once, associated data in pieces.
//!
//! The general routine wants the associated data in one buffer, which is a kilobyte of stack.

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::{Block, BlockCipherEncrypt, KeyInit};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroize;

use crate::constant_time::tags_match;
use crate::error::Rejected;
use crate::secret::Secret;

/// Bytes after which the counter of 32 bits would come back to where it began (section 5.2.1.1).
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

/// The tag is checked before anything is decrypted.
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
    // For other bytes than the sender's, this is what a forger lacks.
    let mut tag = tag(cipher, iv, aad, ciphertext);
    let matches = tags_match(&tag, expected);
    tag.zeroize();
    if matches { Ok(()) } else { Err(Rejected) }
}

/// `GHASH(H, A, C) xor E(K, J0)`, with `J0 = IV || 00000001`.
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
    // With the mask, a tag for other bytes could be computed.
    mask.zeroize();
    tag
}

/// Hashes the pieces as if they were one, padded with zeros to a whole block; returns their length.
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

/// Counter mode from `J0 + 1` on, two blocks at a time: as many as the cipher does at once.
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
