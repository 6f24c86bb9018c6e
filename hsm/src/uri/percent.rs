//! Percent-encoding (RFC 3986 section 2.1), decoded strictly.

/// Decodes `%xx`. Returns `None` if an escape is malformed or another character is not `allowed`.
pub(crate) fn decode(text: &str, allowed: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => decoded.push(digit(bytes.next()?)? << 4 | digit(bytes.next()?)?),
            plain if allowed(plain) => decoded.push(plain),
            _ => return None,
        }
    }
    Some(decoded)
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Returns whether a character needs no encoding in a value (RFC 7512 section 2.3): unreserved characters and
/// `:[]@!$'()*+,=`; also `&` in a path, and `/?|` in a query.
pub(crate) const fn is_plain(character: u8, in_query: bool) -> bool {
    match character {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => true,
        b':' | b'[' | b']' | b'@' | b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' => true,
        b'&' => !in_query,
        b'/' | b'?' | b'|' => in_query,
        _ => false,
    }
}
