//! PEM armour (RFC 7468) in a text: what an editor, a copy or another system may have changed around it.
//!
//! A byte order mark, CRLF, blank lines, and blanks at the ends of lines do not change the key. Anything else that is wrong is
//! named with its line, and never with its content.

use zeroize::Zeroizing;

use crate::file_security::text::is_utf16;

#[cfg(test)]
mod tests;

/// One PEM armour with the text above it.
pub(crate) struct Armour(Zeroizing<Vec<u8>>);

impl Armour {
    /// Finds the armour in the content of a file.
    pub(crate) fn find(content: &[u8]) -> Result<Self, String> {
        if is_utf16(content) {
            return Err("the text is UTF-16; expected PEM armour in UTF-8 or ASCII".to_owned());
        }
        let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
        let mut armour = Zeroizing::new(Vec::with_capacity(content.len() + 1));
        let mut part = Part::Above;
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let (number, line) = (index + 1, line.trim_ascii_end());
            if line.is_empty() {
                continue;
            }
            part = part.after(line).map_err(|fault| format!("line {number} {fault}"))?;
            if part != Part::Above {
                armour.extend_from_slice(line);
                armour.push(b'\n');
            }
        }
        match part {
            Part::Below => Ok(Self(armour)),
            Part::Inside => Err("the PEM armour has no line `-----END …-----`: it is cut off".to_owned()),
            Part::Above if content.trim_ascii().is_empty() => {
                Err("empty: expected a key in PEM armour".to_owned())
            }
            Part::Above => Err("not a key in PEM armour: no line begins with `-----BEGIN`".to_owned()),
        }
    }

    /// Decodes the armour into `buffer`; returns its label and its content.
    pub(crate) fn decode<'b>(&self, buffer: &'b mut [u8]) -> Result<(&str, &'b [u8]), String> {
        pem_rfc7468::decode(&self.0, buffer).map_err(|error| match error {
            pem_rfc7468::Error::Length => "the content of the PEM armour is too long for a key".to_owned(),
            _ => "the PEM armour is damaged: its lines are not 64 characters of base64, or its labels differ"
                .to_owned(),
        })
    }
}

/// The part of the text that a line belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Above,
    Inside,
    Below,
}

impl Part {
    /// Returns the part of a line that follows this part. The error says what is wrong with the line.
    fn after(self, line: &[u8]) -> Result<Self, &'static str> {
        let is_boundary =
            |name: &[u8]| line.strip_prefix(b"-----").is_some_and(|rest| rest.starts_with(name));
        match self {
            Self::Above if is_boundary(b"BEGIN ") && is_alone(line) => Ok(Self::Inside),
            Self::Above if is_boundary(b"BEGIN ") => {
                Err("is not the first line of PEM armour alone: split it into lines")
            }
            Self::Above if line.trim_ascii_start().starts_with(b"-----BEGIN ") => {
                Err("begins with a blank: remove the indentation")
            }
            Self::Above => Ok(Self::Above),
            Self::Inside if line.starts_with(b" ") || line.starts_with(b"\t") => {
                Err("begins with a blank: remove the indentation")
            }
            Self::Inside if is_boundary(b"END ") => Ok(Self::Below),
            Self::Inside if line.iter().all(|byte| is_base64(*byte)) => Ok(Self::Inside),
            Self::Inside => Err("contains a character that is not base64"),
            Self::Below if is_boundary(b"BEGIN ") => Err("begins a second key: expected one"),
            Self::Below => Err("follows the end of the PEM armour: remove it"),
        }
    }
}

/// Returns whether a line contains nothing but `-----BEGIN label-----`.
fn is_alone(line: &[u8]) -> bool {
    let label = line.strip_prefix(b"-----").and_then(|line| line.strip_suffix(b"-----"));
    label.is_some_and(|label| !label.contains(&b'-'))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}
