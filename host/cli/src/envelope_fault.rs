//! The place at which bytes are not an envelope, for messages. The verdict itself is that of the core.

mod cbor;

use taskseal_core::Refusal;

use self::cbor::{ARRAY, BYTES, Fault, Item, MAP, NINT, TAG, TEXT, UINT, read};

/// Returns the refusal of bytes that are not an envelope, with the first place that differs from the format.
pub(crate) fn describe(refusal: Refusal, bytes: &[u8]) -> String {
    let reason = format!("{refusal} ({})", refusal.code());
    match (refusal, check(bytes)) {
        (Refusal::Unsealed | Refusal::Malformed, Err(Fault { at, problem })) => {
            format!("{reason}: byte {at}: {problem}")
        }
        _ => reason,
    }
}

const START: &str =
    "the COSE tag 16, 17 or 18 (first byte 0xd0, 0xd1 or 0xd2), or an array of 3 in a batch (0x83)";

fn check(bytes: &[u8]) -> Result<(), Fault> {
    match bytes.first() {
        None => return Err(Fault::new(0, format!("the end, expected {START}"))),
        Some(0xd0..=0xd2 | 0x83) => {}
        Some(_) => return Err(foreign_start(bytes)),
    }
    let envelope = read(bytes, 0)?;
    if envelope.major == ARRAY {
        return check_batched(&envelope);
    }
    let [array] = &*envelope.items else { return Ok(()) };
    match (envelope.argument, &*array.items) {
        (16, [header, unprotected, payload]) => {
            check_header(header)?;
            unprotected.expect(MAP, "a map with the IV")?;
            payload.expect(BYTES, "the ciphertext as a byte string")
        }
        (17 | 18, [header, unprotected, payload, tag]) => {
            let is_encrypted = check_header(header)?;
            if unprotected.major != MAP || unprotected.argument != 0 {
                return Err(unprotected.unexpected("an empty map"));
            }
            check_payload(payload, is_encrypted)?;
            let len = if envelope.argument == 17 { 32 } else { 64 };
            check_len(tag, len, "the signature or tag")
        }
        (16, _) => Err(array.unexpected("an array of 3 items")),
        _ => Err(array.unexpected("an array of 4 items")),
    }
}

fn check_batched(envelope: &Item<'_>) -> Result<(), Fault> {
    let [header, payload, receipt] = &*envelope.items else { return Ok(()) };
    let is_encrypted = check_header(header)?;
    check_payload(payload, is_encrypted)?;
    receipt.expect(BYTES, "the receipt as a byte string")?;
    read(receipt.content, receipt.content_at).map(drop)
}

/// Returns the fault of the first byte of an envelope.
fn foreign_start(bytes: &[u8]) -> Fault {
    let text = bytes.trim_ascii();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=\r\n".contains(byte);
    if text.len() > 16 && text.iter().all(u8::is_ascii_hexdigit) {
        return Fault::new(0, "text in hex, expected the bytes");
    }
    if text.len() > 16 && text.iter().all(is_base64) {
        return Fault::new(0, "text in base64, expected the bytes");
    }
    match bytes {
        [0x84, ..] => Fault::new(0, format!("an array of 4 without a tag, expected {START}")),
        [0xd8, tag @ 16..=18, ..] => {
            Fault::new(0, format!("tag {tag} in two bytes, expected it in one (0x{:02x})", 0xc0 | tag))
        }
        [0xd8, tag, ..] => Fault::new(0, format!("tag {tag}, expected {START}")),
        [0xd9, high, low, ..] => {
            Fault::new(0, format!("tag {}, expected {START}", u16::from_be_bytes([*high, *low])))
        }
        [first, ..] => Fault::new(0, format!("0x{first:02x}, expected {START}")),
        [] => Fault::new(0, format!("the end, expected {START}")),
    }
}

/// Checks the protected header. Returns whether it says that the payload is encrypted.
fn check_header(header: &Item<'_>) -> Result<bool, Fault> {
    header.expect(BYTES, "the protected header as a byte string")?;
    let map = read(header.content, header.content_at)?;
    map.expect(MAP, "the map of the protected header")?;
    let (mut found, mut is_encrypted) = (Vec::new(), false);
    for pair in map.items.chunks(2) {
        let [key, value] = pair else { break };
        let wanted = match (key.major, key.argument) {
            (UINT, 1) => ([UINT, NINT], "an algorithm (1) as an integer"),
            (UINT, 3) => ([UINT, TEXT], "a content type (3) as an integer or a text"),
            (UINT, 4) => ([BYTES; 2], "a kid (4) as a byte string of 8 bytes"),
            (UINT, 15) => ([MAP; 2], "the claims (15) as a map"),
            (UINT, 16) => ([TEXT; 2], "the type (16) as a text"),
            (NINT, 95_347) => ([BYTES; 2], "salt and commitment (-95348) as a byte string of 48 bytes"),
            _ => return Err(key.unexpected("a label 1, 3, 4, 15, 16 or -95348")),
        };
        if !wanted.0.contains(&value.major) {
            return Err(value.unexpected(wanted.1));
        }
        is_encrypted |= key.argument == 3 && value.major == UINT;
        found.push(key.argument);
    }
    match [1, 3, 4, 15, 16].into_iter().find(|label| !found.contains(label)) {
        Some(label) => Err(map.unexpected(&format!("a map with the label {label} too"))),
        None => Ok(is_encrypted),
    }
}

fn check_payload(payload: &Item<'_>, is_encrypted: bool) -> Result<(), Fault> {
    payload.expect(BYTES, "the payload as a byte string")?;
    if !is_encrypted {
        return Ok(());
    }
    let inner = read(payload.content, payload.content_at)?;
    match inner.major {
        TAG => Err(inner.unexpected("the encrypted body without a tag")),
        _ => inner.expect(ARRAY, "the array of the encrypted body"),
    }
}

fn check_len(item: &Item<'_>, len: u64, what: &str) -> Result<(), Fault> {
    if item.major == BYTES && item.argument == len {
        return Ok(());
    }
    Err(item.unexpected(&format!("{what} as a byte string of {len} bytes")))
}

#[cfg(test)]
mod tests;
