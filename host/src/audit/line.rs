//! One line of the audit log: a JSON object in ASCII, with the number of the line and the hash of the line before.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::time::{UnixMillis, rfc3339};

/// Maximum length of a line with its end, in bytes.
pub(super) const MAX_LINE: usize = 64 << 10;
/// Maximum length of a text in a line, in bytes, before it is escaped.
const MAX_TEXT: usize = 512;

/// SHA-256 of a line with its end.
pub(super) type Hash = [u8; 32];

/// The hash before the first line.
pub(super) const NO_LINE: Hash = [0; 32];

/// Returns the hash of a line with its end, or of other bytes.
pub(super) fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Returns a hash in hexadecimal.
pub(super) fn hex(hash: &Hash) -> String {
    base16ct::lower::encode_string(hash)
}

/// Returns a point in time in RFC 3339, or as milliseconds if it is outside the calendar.
pub(super) fn time_text(at: UnixMillis) -> String {
    rfc3339::format(at).unwrap_or_else(|| format!("{} ms", at.0))
}

/// The value of a member of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A text, cut after 512 bytes.
    Text(String),
    /// A number.
    Number(u64),
    /// True or false.
    Flag(bool),
    /// Texts.
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A member of a line: name and value.
pub(super) type Member = (&'static str, Value);

/// Writes one line.
#[derive(Debug)]
pub(super) struct LineBuilder(String);

impl LineBuilder {
    /// Starts the line with number `n` after the line with hash `previous`.
    pub(super) fn new(n: u64, previous: &Hash, at: UnixMillis, event: &str) -> Self {
        let (previous, at) = (hex(previous), time_text(at));
        Self(format!(
            "{{\"v\":1,\"n\":{n},\"prev\":\"{previous}\",\"at\":\"{at}\",\"event\":{}",
            quoted(event)
        ))
    }

    /// Adds a member.
    pub(super) fn member(&mut self, name: &str, value: &Value) {
        self.0.push(',');
        self.0.push_str(&quoted(name));
        self.0.push(':');
        match value {
            Value::Text(text) => self.0.push_str(&quoted(cut(text))),
            Value::Number(number) => self.0.push_str(&number.to_string()),
            Value::Flag(flag) => self.0.push_str(if *flag { "true" } else { "false" }),
            Value::List(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(cut(text))).collect();
                self.0.push('[');
                self.0.push_str(&texts.join(","));
                self.0.push(']');
            }
        }
    }

    /// Adds a text of any length.
    pub(super) fn raw_text(&mut self, name: &str, text: &str) {
        self.0.push_str(&format!(",{}:{}", quoted(name), quoted(text)));
    }

    /// Returns the line with its end.
    pub(super) fn finish(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

/// Returns the start of a text, of at most [`MAX_TEXT`] bytes.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Returns a JSON string in ASCII: a terminal that shows the file shows no other character.
fn quoted(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// The members that every line has.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Head {
    v: u64,
    pub(super) n: u64,
    prev: String,
    pub(super) at: String,
    pub(super) event: String,
    /// Name of the log: in the first line of each file.
    #[serde(default)]
    pub(super) log: Option<String>,
    /// Size and hash of the bytes of a cut line before this one.
    #[serde(default)]
    pub(super) cut_bytes: Option<u64>,
    #[serde(default)]
    pub(super) cut_sha256: Option<String>,
    /// The signature of a checkpoint.
    #[serde(default)]
    pub(super) cose: Option<String>,
    /// Number and hash of lines that are known and no longer in the log.
    #[serde(default)]
    pub(super) lines: Option<u64>,
    /// Number and hash of the last line of files that were deleted because they were the oldest ones: in the first line of a file.
    #[serde(default)]
    pub(super) removed_lines: Option<u64>,
    #[serde(default)]
    pub(super) removed_sha256: Option<String>,
}

impl Head {
    /// Reads a line with its end. `None` if it is not a line of this log: damaged, or cut.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let json = line.strip_suffix(b"\n")?;
        let head: Self = serde_json::from_slice(json).ok()?;
        (head.v == 1 && head.n > 0 && head.previous().is_some()).then_some(head)
    }

    /// Returns the hash of the line before.
    pub(super) fn previous(&self) -> Option<Hash> {
        let mut hash = NO_LINE;
        let decoded = base16ct::lower::decode(&self.prev, &mut hash).ok()?;
        (decoded.len() == NO_LINE.len()).then_some(())?;
        Some(hash)
    }

    /// Returns the time of the line.
    pub(super) fn at(&self) -> UnixMillis {
        rfc3339::parse(&self.at).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_that_is_cut_or_not_an_object_is_not_read() {
        let line = LineBuilder::new(1, &NO_LINE, UnixMillis(0), "worker-started").finish();
        for end in 0..line.len() {
            assert!(Head::parse(&line.as_bytes()[..end]).is_none(), "{end}");
        }
        for text in ["\n", "{}\n", "[]\n", "1\n"] {
            assert!(Head::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn text_from_outside_is_cut_and_cannot_end_the_line_or_reach_a_terminal() {
        let mut line = LineBuilder::new(1, &NO_LINE, UnixMillis(0), "refused");
        line.member("id", &"a\n\"}\u{1b}[2J\u{202e}\u{1f600}\u{7f}".into());
        line.member("issuer", &"\u{e9}".repeat(1000).into());
        let line = line.finish();
        assert!(line.bytes().all(|byte| (b' '..0x7f).contains(&byte) || byte == b'\n'), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["id"], "a\n\"}\u{1b}[2J\u{202e}\u{1f600}\u{7f}");
        assert_eq!(read["issuer"].as_str().unwrap().len(), MAX_TEXT);
    }

    #[test]
    fn line_has_number_hash_time_and_event() {
        let line = LineBuilder::new(7, &[0xab; 32], UnixMillis(0), "queue-paused").finish();
        let head = Head::parse(line.as_bytes()).unwrap();
        assert_eq!((head.n, head.previous(), head.at()), (7, Some([0xab; 32]), UnixMillis(0)));
        assert_eq!(head.event, "queue-paused");
    }
}
