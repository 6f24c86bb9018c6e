//! Roles: what a key that verifies envelopes may vouch for.

use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Sink, SinkError};
use crate::name::NameSet;
use crate::suite::Kind;

/// Most bytes of a set of patterns.
const MAX_SET: usize = 512;
/// Most characters of one pattern, as of the longest name.
const MAX_PATTERN: usize = 128;

/// What a key may vouch for. Tasks with no rights, until the fields say otherwise.
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
    /// What the key seals: tasks or results.
    pub kind: Kind,
    /// Issuers it may speak for.
    pub issuers: NameSet<'a>,
    /// Task types it may seal.
    pub types: NameSet<'a>,
    /// Audiences (`deployment/queue`) it may seal for.
    pub audiences: NameSet<'a>,
}

impl Default for Role<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Role<'a> {
    /// Tasks, with no rights.
    #[must_use]
    pub const fn new() -> Self {
        let none = NameSet::NONE;
        Self { kind: Kind::Task, issuers: none, types: none, audiences: none }
    }

    /// Seals `kind`.
    #[must_use]
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Speaks for these issuers.
    #[must_use]
    pub const fn issuers(mut self, issuers: NameSet<'a>) -> Self {
        self.issuers = issuers;
        self
    }

    /// Seals these task types.
    #[must_use]
    pub const fn types(mut self, types: NameSet<'a>) -> Self {
        self.types = types;
        self
    }

    /// Seals for these audiences.
    #[must_use]
    pub const fn audiences(mut self, audiences: NameSet<'a>) -> Self {
        self.audiences = audiences;
        self
    }

    const fn sets(&self) -> [(u64, NameSet<'a>); 3] {
        [(2, self.issuers), (3, self.types), (4, self.audiences)]
    }

    /// Members on the wire: what is the default is absent.
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

/// Patterns of printable ASCII with exactly one space between two of them: no second spelling by spaces.
fn is_set(text: &str) -> bool {
    let is_pattern = |pattern: &str| {
        (1..=MAX_PATTERN).contains(&pattern.len()) && pattern.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
    };
    text.len() <= MAX_SET && text.split(' ').all(is_pattern)
}
