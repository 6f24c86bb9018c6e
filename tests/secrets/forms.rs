//! The forms in which secrets are looked for, and bodies that two processes can compute.

use std::fs;
use std::path::Path;

use taskseal_tests::process_memory::Needle;

/// Length of a body and of a result, in bytes. Longer than the first allocation of a buffer that grows.
pub(crate) const BODY_LEN: usize = 3000;
/// Length of the body that a program gets, in bytes. More than a pipe holds.
pub(crate) const LONG_BODY_LEN: usize = 100_000;

/// Letters that look random and depend on the label. Holds no more than one of them at a time.
fn letters(label: &str) -> impl Iterator<Item = u8> {
    let mut state = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    std::iter::from_fn(move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        Some(b'a' + state.to_be_bytes()[0] % 26)
    })
}

/// The text of a label: a body that is valid in JSON without escapes.
pub(crate) fn text(label: &str, len: usize) -> Vec<u8> {
    // Filled in place: collecting would grow, and leave copies.
    let mut text = vec![0; len];
    text.iter_mut().zip(letters(label)).for_each(|(byte, letter)| *byte = letter);
    text
}

/// Whether `bytes` are the text of the label, without making a copy of it.
pub(crate) fn is_text(label: &str, bytes: &[u8]) -> bool {
    bytes.iter().copied().zip(letters(label)).all(|(byte, letter)| byte == letter)
}

/// Pieces of the text of a label. Of a long one those at every 512 bytes.
pub(crate) fn of_text(name: &str, len: usize) -> Vec<Needle> {
    text(name, len)
        .chunks(512)
        .filter_map(|chunk| chunk.get(..16))
        .map(|it| Needle::whole(name, it))
        .collect()
}

/// A secret of 32 bytes, in pieces that fit into one register: as written, and with the last byte first, as words of
/// a number are kept.
pub(crate) fn of_secret(name: &str, secret: &[u8]) -> Vec<Needle> {
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    [Needle::pieces(name, secret, 8), Needle::pieces(name, &reversed, 8)].concat()
}

/// The secret of a key file, and the text of the file that holds it.
pub(crate) fn of_key_file(folder: &Path, name: &str) -> Vec<Needle> {
    let file = fs::read(folder.join(format!("{name}.key"))).unwrap();
    let (_, cose_key) = pem_rfc7468::decode_vec(&file).unwrap();
    // The secret is the last member of every shape.
    let secret = cose_key.last_chunk::<32>().unwrap();
    let mut needles = of_secret(name, secret);
    needles.extend(of_armour(name, &file, secret.len()));
    needles
}

/// The end of the text of an armour: that of the last `len` bytes in it, in pieces of 24 characters.
pub(crate) fn of_armour(name: &str, file: &[u8], len: usize) -> Vec<Needle> {
    let text = std::str::from_utf8(file).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(['#', '-'])).collect();
    // Four characters are three bytes.
    let (joined, wanted) = (lines.concat(), (len * 4).div_ceil(3));
    let secret = joined.trim_end_matches('=');
    let secret = &secret[secret.len() - wanted..];
    let mut needles = Needle::pieces(&format!("text of {name}"), secret.as_bytes(), 24);
    // As in the file too, where a line break may be in the middle of a piece.
    let wrapped = text.split("-----END").next().unwrap().trim_end().trim_end_matches('=');
    needles.extend(Needle::pieces(
        &format!("text of {name}"),
        &wrapped.as_bytes()[wrapped.len() - wanted..],
        24,
    ));
    needles
}
