//! Secrets in JSON, decoded without copies in memory that is not wiped.

use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Returns the text of a JSON string (RFC 8259 section 7); `None` if the value is not a string. A code point outside of the basic
/// plane is not expected in a secret: its surrogates are refused.
pub(super) fn string(value: &RawValue) -> Option<Zeroizing<Vec<u8>>> {
    let text = value.get().strip_prefix('"')?.strip_suffix('"')?;
    // No escape sequence is shorter than what it stands for.
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let character = if character == '\\' { escaped(&mut rest)? } else { character };
        decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(decoded)
}

fn escaped(rest: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let mut code = 0;
            for _ in 0..4 {
                code = code * 16 + rest.next()?.to_digit(16)?;
            }
            char::from_u32(code)?
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> Option<String> {
        let value: Box<RawValue> = serde_json::from_str(json).unwrap();
        string(&value).map(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn value_that_is_not_a_string_has_no_text() {
        for json in ["1", "null", "[\"a\"]", "{\"a\":\"b\"}", "\"\\ud83d\\ude00\""] {
            assert_eq!(decoded(json), None, "{json}");
        }
    }

    #[test]
    fn text_is_what_serde_decodes() {
        for json in [r#""""#, r#""-----BEGIN A-----\nab\/c+=\r\n""#, r#""\"\\\u00e9\u0000é\t\b\f""#] {
            assert_eq!(decoded(json).unwrap(), serde_json::from_str::<String>(json).unwrap());
        }
    }
}
