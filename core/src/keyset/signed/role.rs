//! Roles: the rights of a key that verifies envelopes, and the bodies that are encrypted to a key agreement key.

use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Sink, SinkError};
use crate::name::{Audience, Issuer, NameSet, TaskType};
use crate::suite::Kind;

/// Maximum size of a set of patterns, in bytes.
const MAX_SET: usize = 512;
/// Maximum length of a pattern, in characters: that of the longest name.
const MAX_PATTERN: usize = 128;

/// The rights of a key. By default it seals tasks and has no rights. The role of a key agreement key names the tasks
/// whose bodies are encrypted to it, or the requests whose results are.
///
/// ```cddl
/// role = { ? 1: 1,           ; kind: absent = tasks, 1 = results
///          ? 2: patterns,    ; issuers; absent = none
///          ? 3: patterns,    ; task types
///          ? 4: patterns }   ; audiences; at least one member, else the map is absent
/// patterns = tstr .size (1..512)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Role<'a> {
    /// Kind of envelope that the key seals: tasks or results.
    pub kind: Kind,
    /// Issuers for which the key may seal.
    pub issuers: NameSet<'a>,
    /// Task types that the key may seal.
    pub types: NameSet<'a>,
    /// Audiences (`deployment/queue`) for which the key may seal.
    pub audiences: NameSet<'a>,
}

impl Default for Role<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Role<'a> {
    /// Creates a role for tasks without rights.
    #[must_use]
    pub const fn new() -> Self {
        let none = NameSet::NONE;
        Self { kind: Kind::Task, issuers: none, types: none, audiences: none }
    }

    /// Sets the kind of envelope.
    #[must_use]
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the issuers.
    #[must_use]
    pub const fn issuers(mut self, issuers: NameSet<'a>) -> Self {
        self.issuers = issuers;
        self
    }

    /// Sets the task types.
    #[must_use]
    pub const fn types(mut self, types: NameSet<'a>) -> Self {
        self.types = types;
        self
    }

    /// Sets the audiences.
    #[must_use]
    pub const fn audiences(mut self, audiences: NameSet<'a>) -> Self {
        self.audiences = audiences;
        self
    }

    /// Returns whether the role is for envelopes of this kind and matches all three names.
    #[must_use]
    pub fn matches(
        &self,
        kind: Kind,
        issuer: Issuer<'_>,
        task_type: TaskType<'_>,
        audience: Audience<'_>,
    ) -> bool {
        self.kind == kind
            && self.issuers.contains(issuer.as_str())
            && self.types.contains(task_type.as_str())
            && self.audiences.contains(audience.as_str())
    }

    const fn sets(&self) -> [(u64, NameSet<'a>); 3] {
        [(2, self.issuers), (3, self.types), (4, self.audiences)]
    }

    /// Returns the number of members on the wire: defaults are absent.
    fn members(&self) -> u64 {
        let sets = self.sets().iter().filter(|(_, set)| *set != NameSet::NONE).count() as u64;
        sets + u64::from(self.kind == Kind::Result)
    }

    pub(super) fn is_valid(&self) -> bool {
        let sets_are_valid = self.sets().iter().all(|(_, set)| *set == NameSet::NONE || is_set(set.as_str()));
        self.members() > 0 && sets_are_valid
    }

    pub(super) fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        sink.map(self.members())?;
        if self.kind == Kind::Result {
            sink.uint(1)?;
            sink.uint(1)?;
        }
        for (label, set) in self.sets() {
            if set != NameSet::NONE {
                sink.uint(label)?;
                sink.text(set.as_str())?;
            }
        }
        Ok(())
    }

    pub(super) fn decode(decoder: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let mut role = Self::new();
        for _ in 0..decoder.map(4)? {
            match decoder.uint()? {
                1 if decoder.uint()? == 1 => role.kind = Kind::Result,
                2 => role.issuers = NameSet::new(decoder.text()?),
                3 => role.types = NameSet::new(decoder.text()?),
                4 => role.audiences = NameSet::new(decoder.text()?),
                _ => return Err(DecodeError),
            }
        }
        Ok(role)
    }
}

/// Checks that the patterns are printable ASCII with exactly one space between two of them, so that every set has one
/// encoding.
fn is_set(text: &str) -> bool {
    let is_pattern = |pattern: &str| {
        (1..=MAX_PATTERN).contains(&pattern.len()) && pattern.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
    };
    text.len() <= MAX_SET && text.split(' ').all(is_pattern)
}
