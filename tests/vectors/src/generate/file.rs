//! One vector as it is written to its file.

use std::fmt::{self, Write as _};

use taskseal_core::keys::VerifyingKey;

use crate::example::{self, BODY};

/// The actor that could create the bytes of a refused vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An attacker with write access to the queue and without a key.
    Anyone,
    /// The carrier of sealed tasks: genuine bytes in another queue, at another time, or a second time.
    Broker,
    /// The holder of the key that seals the vector.
    KeyHolder,
    /// The holder of another key that the verifier knows.
    OtherKeyHolder,
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Broker => "broker",
            Self::KeyHolder => "key holder",
            Self::OtherKeyHolder => "other key holder",
        }
    }
}

/// A vector: lines above, bytes below.
#[derive(Clone, Debug)]
pub struct File {
    name: &'static str,
    expect: &'static str,
    note: &'static str,
    by: Option<By>,
    now: String,
    audience: Option<&'static str>,
    /// The policy, where it differs from the defaults.
    policy: Vec<(&'static str, String)>,
    /// Keys and their rights, then the keys to decrypt with and the opened body.
    keys: Vec<(&'static str, String)>,
    bytes: Vec<u8>,
}

impl File {
    /// A vector that is accepted.
    pub(super) fn accepted(name: &'static str, note: &'static str, bytes: &[u8]) -> Self {
        Self {
            name,
            expect: "accepted",
            note,
            by: None,
            now: "1763751600".to_owned(),
            audience: Some("prod/critical"),
            policy: Vec::new(),
            keys: Vec::new(),
            bytes: bytes.to_vec(),
        }
    }

    /// A vector that is refused.
    pub(super) fn refused(
        name: &'static str,
        by: By,
        expect: &'static str,
        note: &'static str,
        bytes: &[u8],
    ) -> Self {
        Self { expect, by: Some(by), ..Self::accepted(name, note, bytes) }
    }

    /// The name of the file, without its ending.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn now(self, now: impl Into<String>) -> Self {
        Self { now: now.into(), ..self }
    }

    pub(super) fn audience(self, audience: &'static str) -> Self {
        Self { audience: Some(audience), ..self }
    }

    /// Removes the queue, for vectors outside of queues.
    pub(super) fn without_audience(self) -> Self {
        Self { audience: None, ..self }
    }

    pub(super) fn policy(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.policy.push((name, value.into()));
        self
    }

    /// A key, or a line that belongs to the one above.
    pub(super) fn line(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.keys.push((name, value.into()));
        self
    }

    pub(super) fn es256(self, key: &VerifyingKey) -> Self {
        self.line("es256", hex_of(&key.to_point()))
    }

    /// The record of the producer of the examples.
    pub(super) fn producer(self) -> Self {
        self.es256(&example::producer().verifying_key())
    }

    /// The record of the key of suite M.
    pub(super) fn mac(self) -> Self {
        self.line("hmac256", mac_line())
    }

    /// The record of the key of suite E.
    pub(super) fn enc(self) -> Self {
        self.line("a256gcm", enc_line())
    }

    /// The shared key of the examples to decrypt with.
    pub(super) fn shared(self) -> Self {
        self.line("shared", enc_line())
    }

    /// The worker of the examples decrypts.
    pub(super) fn worker(self) -> Self {
        self.agree("taskseal example worker key")
    }

    /// The key agreement key of a label decrypts.
    pub(super) fn agree(self, label: &str) -> Self {
        self.line("agree", hex_of(example::scalar(label).as_bytes()))
    }

    /// The opened body is that of the examples.
    pub(super) fn body(self) -> Self {
        self.body_of(BODY)
    }

    pub(super) fn body_of(self, body: &[u8]) -> Self {
        self.line("body", hex_of(body))
    }
}

/// Kid and key of suite M.
pub(super) fn mac_line() -> String {
    format!("6d61630000000001 {}", hex_of(&example::sha256(b"taskseal example mac key")))
}

/// Kid and key of suites E and SE.
pub(super) fn enc_line() -> String {
    format!("656e630000000001 {}", hex_of(&example::sha256(b"taskseal example enc key")))
}

/// Lower-case hex digits.
pub(super) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("memory for two digits");
        digits
    })
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "expect: {}", self.expect)?;
        writeln!(f, "note: {}", self.note)?;
        if let Some(by) = self.by {
            writeln!(f, "by: {}", by.name())?;
        }
        writeln!(f, "now: {}", self.now)?;
        if let Some(audience) = self.audience {
            writeln!(f, "audience: {audience}")?;
        }
        for (name, value) in &self.policy {
            writeln!(f, "{name}: {value}")?;
        }
        for (name, value) in &self.keys {
            let indent = if RIGHTS.contains(name) { "  " } else { "" };
            writeln!(f, "{indent}{name}: {value}")?;
        }
        writeln!(f)?;
        for line in self.bytes.chunks(48) {
            writeln!(f, "{}", hex_of(line))?;
        }
        Ok(())
    }
}

/// Lines about the record above them.
const RIGHTS: [&str; 7] =
    ["record-kind", "issuers", "types", "audiences", "valid-from", "valid-until", "disabled"];
