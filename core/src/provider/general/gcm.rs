//! AES-256-GCM (SP 800-38D section 7) by the crate `aes-gcm`, and the check of a tag without decryption.

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroize;

use crate::constant_time::tags_match;
use crate::error::Rejected;
use crate::secret::Secret;
use crate::structure::EncStructure;

pub(crate) fn encrypt(
    key: &Secret<32>,
    iv: &[u8; 12],
    aad: &[&[u8]],
    buffer: &mut [u8],
) -> Result<[u8; 16], Rejected> {
    let mut joined = [0; EncStructure::MAX_LEN];
    let aad = join(aad, &mut joined)?;
    let cipher = Aes256Gcm::new(key.as_bytes().into());
    let tag = cipher.encrypt_inout_detached(iv.into(), aad, buffer.into()).map_err(|_| Rejected)?;
    Ok(tag.into())
}

pub(crate) fn decrypt(
    key: &Secret<32>,
    iv: &[u8; 12],
    aad: &[&[u8]],
    buffer: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Rejected> {
    let mut joined = [0; EncStructure::MAX_LEN];
    let aad = join(aad, &mut joined)?;
    let cipher = Aes256Gcm::new(key.as_bytes().into());
    let opened = cipher.decrypt_inout_detached(iv.into(), aad, buffer.into(), tag.into());
    opened.map_err(|_| Rejected)
}

/// Compares `tag` with that of SP 800-38D section 7.1: `GHASH(H, A, C) xor E(K, J0)`, with `J0 = IV || 00000001`.
pub(crate) fn check(
    key: &Secret<32>,
    iv: &[u8; 12],
    aad: &[&[u8]],
    ciphertext: &[u8],
    tag: &[u8; 16],
) -> Result<(), Rejected> {
    let mut joined = [0; EncStructure::MAX_LEN];
    let aad = join(aad, &mut joined)?;
    let cipher = Aes256::new(key.as_bytes().into());
    let mut hash_key = ghash::Key::default();
    cipher.encrypt_block(&mut hash_key);
    let mut hash = GHash::new(&hash_key);
    hash_key.zeroize();
    hash.update_padded(aad);
    hash.update_padded(ciphertext);
    let lengths = u128::from(bits(aad)) << 64 | u128::from(bits(ciphertext));
    hash.update(&[lengths.to_be_bytes().into()]);

    let [a, b, c, d, e, f, g, h, i, j, k, l] = *iv;
    let mut mask = ghash::Block::from([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 1]);
    cipher.encrypt_block(&mut mask);
    let mut expected: [u8; 16] = hash.finalize().into();
    expected.iter_mut().zip(mask.iter()).for_each(|(byte, mask)| *byte ^= mask);
    let matches = tags_match(&expected, tag);
    // The mask and the hash are enough to compute a tag for other bytes.
    mask.zeroize();
    expected.zeroize();
    if matches { Ok(()) } else { Err(Rejected) }
}

fn bits(bytes: &[u8]) -> u64 {
    bytes.len() as u64 * 8
}

/// Returns the pieces as one slice: a single piece as it is, several copied into `buffer`.
fn join<'a>(pieces: &[&'a [u8]], buffer: &'a mut [u8]) -> Result<&'a [u8], Rejected> {
    if let [piece] = pieces {
        return Ok(piece);
    }
    let mut len = 0_usize;
    for piece in pieces {
        let end = len.checked_add(piece.len()).ok_or(Rejected)?;
        buffer.get_mut(len..end).ok_or(Rejected)?.copy_from_slice(piece);
        len = end;
    }
    buffer.get(..len).ok_or(Rejected)
}

#[cfg(test)]
mod tests;
