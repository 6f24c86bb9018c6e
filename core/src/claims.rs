//! Claims (CWT, RFC 8392): the signed statements about a task, its issuer, and where and when it may run.

use core::fmt;

use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Sink, SinkError};
use crate::label;
use crate::name::{Audience, Issuer, Reference, TaskType};
use crate::suite::Kind;
use crate::task_id::TaskId;

mod extension;
#[cfg(test)]
mod tests;

/// Upper bound of times in claims, exclusive: 2^40 seconds.
pub const MAX_TIME: u64 = 1 << 40;

/// The claims of an envelope. Set the fields, or chain the methods with the same names.
///
/// ```cddl
/// claims = {
///   1: tstr .size (1..64),      ; issuer
///   2: tstr .size (1..128),     ; task type
///   3: tstr .size (1..128),     ; audience
///   ? 4: uint,                  ; expires_at, required unless clock is None
///   ? 5: uint,                  ; not_before
///   ? 6: uint,                  ; issued_at, required unless clock is None
///   7: bstr .size 16,           ; task_id
///   ? -95348: ext               ; the other fields
/// }
/// ```
///
/// # Security
/// Claims are signed, not encrypted: the broker reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims<'a> {
    /// Issuer of the task.
    pub issuer: Issuer<'a>,
    /// Type of the task.
    pub task_type: TaskType<'a>,
    /// Audience: the deployment and queue in which it may run, `deployment/queue`.
    pub audience: Audience<'a>,
    /// Identifier of the task.
    pub task_id: TaskId,
    /// Unix time in seconds from which the task is refused.
    pub expires_at: Option<u64>,
    /// Unix time in seconds before which the task does not run.
    pub not_before: Option<u64>,
    /// Unix time in seconds at which the task was sealed.
    pub issued_at: Option<u64>,
    /// Clock of the issuer; absent on the wire if synchronised.
    pub clock: ClockSource,
    /// Boot epoch and counter of the issuer; required without a clock.
    pub sequence: Option<Sequence>,
    /// Schema version of the body.
    pub schema: Option<u32>,
    /// W3C trace context: trace id (16 bytes), parent id (8), flags (1).
    pub trace: Option<[u8; 25]>,
    /// Identifier in the queue framework, if it differs from the UUID in `task_id`.
    pub reference: Option<Reference<'a>>,
    /// Identifier of the time beacon that the times are based on; with a beacon clock only.
    pub beacon: Option<[u8; 8]>,
    /// Time to live in seconds, counted from the first admission; without a clock only.
    pub ttl: Option<u32>,
    /// Maximum number of attempts that the issuer allows.
    pub attempts: Option<u16>,
    /// Time limit of one attempt, in seconds.
    pub timeout: Option<u32>,
    /// Time for which the finished task and its result are kept, in seconds.
    pub retention: Option<u32>,
    /// SHA-256 of the request envelope; in results only.
    pub request: Option<[u8; 32]>,
}

/// The clock of an issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClockSource {
    /// A synchronised clock.
    #[default]
    Synchronised,
    /// Time counted from a signed beacon.
    Beacon,
    /// No clock: no times in the claims, a sequence instead.
    None,
}

/// The position of a task in the order of an issuer without a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers write it as a literal")]
pub struct Sequence {
    /// Boot epoch: incremented and stored at each boot.
    pub epoch: u32,
    /// Counter within the epoch.
    pub counter: u64,
}

/// Claims that contradict each other. The fields of [`Claims`] document the allowed combinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InconsistentClaims;

impl fmt::Display for InconsistentClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the claims contradict each other")
    }
}

impl core::error::Error for InconsistentClaims {}

impl<'a> Claims<'a> {
    /// Creates claims with the four fields that every envelope has.
    #[must_use]
    pub const fn new(
        issuer: Issuer<'a>,
        task_type: TaskType<'a>,
        audience: Audience<'a>,
        task_id: TaskId,
    ) -> Self {
        Self {
            issuer,
            task_type,
            audience,
            task_id,
            expires_at: None,
            not_before: None,
            issued_at: None,
            clock: ClockSource::Synchronised,
            sequence: None,
            schema: None,
            trace: None,
            reference: None,
            beacon: None,
            ttl: None,
            attempts: None,
            timeout: None,
            retention: None,
            request: None,
        }
    }

    /// Checks that the format allows the combination of fields for `kind`.
    ///
    /// # Errors
    /// [`InconsistentClaims`].
    pub fn check(&self, kind: Kind) -> Result<(), InconsistentClaims> {
        let times = [self.expires_at, self.not_before, self.issued_at];
        let times_fit = times.iter().flatten().all(|time| *time < MAX_TIME);
        let clock_fits = match self.clock {
            ClockSource::None => times.iter().all(Option::is_none) && self.sequence.is_some(),
            _ => self.expires_at.is_some() && self.issued_at.is_some() && self.ttl.is_none(),
        };
        let beacon_fits = self.beacon.is_some() == matches!(self.clock, ClockSource::Beacon);
        let request_fits = self.request.is_some() == matches!(kind, Kind::Result);
        if times_fit && clock_fits && beacon_fits && request_fits { Ok(()) } else { Err(InconsistentClaims) }
    }

    pub(crate) fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        let times = [
            (label::CLAIM_EXP, self.expires_at),
            (label::CLAIM_NBF, self.not_before),
            (label::CLAIM_IAT, self.issued_at),
        ];
        let extensions = self.extension_count();
        let present = times.iter().filter(|(_, time)| time.is_some()).count() as u64;
        sink.map(4 + present + u64::from(extensions > 0))?;
        sink.uint(label::CLAIM_ISS)?;
        sink.text(self.issuer.as_str())?;
        sink.uint(label::CLAIM_SUB)?;
        sink.text(self.task_type.as_str())?;
        sink.uint(label::CLAIM_AUD)?;
        sink.text(self.audience.as_str())?;
        for (label, time) in times {
            if let Some(time) = time {
                sink.uint(label)?;
                sink.uint(time)?;
            }
        }
        sink.uint(label::CLAIM_CTI)?;
        sink.bytes(self.task_id.as_bytes())?;
        if extensions > 0 {
            sink.int(label::PRIVATE)?;
            self.encode_extensions(extensions, sink)?;
        }
        Ok(())
    }

    /// A placeholder for claims that are still to be decoded.
    pub(crate) const UNSET: Self =
        Self::new(Issuer::UNSET, TaskType::UNSET, Audience::UNSET, TaskId::from_bytes([0; TaskId::LEN]));

    /// Decodes into [`UNSET`](Self::UNSET) claims in place, because claims are large to move. Does not check order or
    /// uniqueness: the caller compares the bytes with a new encoding.
    pub(crate) fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<(), DecodeError> {
        let mut has_task_id = false;
        for _ in 0..decoder.map(8)? {
            if decoder.peek_major()? != crate::cbor::UINT {
                if decoder.int()? != label::PRIVATE {
                    return Err(DecodeError);
                }
                self.decode_extensions(decoder)?;
                continue;
            }
            match decoder.uint()? {
                label::CLAIM_ISS => self.issuer = Issuer::new(decoder.text()?).map_err(|_| DecodeError)?,
                label::CLAIM_SUB => {
                    self.task_type = TaskType::new(decoder.text()?).map_err(|_| DecodeError)?;
                }
                label::CLAIM_AUD => {
                    self.audience = Audience::new(decoder.text()?).map_err(|_| DecodeError)?;
                }
                label::CLAIM_EXP => self.expires_at = Some(decoder.uint()?),
                label::CLAIM_NBF => self.not_before = Some(decoder.uint()?),
                label::CLAIM_IAT => self.issued_at = Some(decoder.uint()?),
                label::CLAIM_CTI => {
                    self.task_id = TaskId::from_bytes(*decoder.bytes_exact()?);
                    has_task_id = true;
                }
                _ => return Err(DecodeError),
            }
        }
        let names = [self.issuer.as_str(), self.task_type.as_str(), self.audience.as_str()];
        if has_task_id && names.iter().all(|name| !name.is_empty()) { Ok(()) } else { Err(DecodeError) }
    }

    /// Sets [`expires_at`](Self#structfield.expires_at), Unix time in seconds.
    #[must_use]
    pub const fn expires_at(mut self, seconds: u64) -> Self {
        self.expires_at = Some(seconds);
        self
    }

    /// Sets [`not_before`](Self#structfield.not_before), Unix time in seconds.
    #[must_use]
    pub const fn not_before(mut self, seconds: u64) -> Self {
        self.not_before = Some(seconds);
        self
    }

    /// Sets [`issued_at`](Self#structfield.issued_at), Unix time in seconds.
    #[must_use]
    pub const fn issued_at(mut self, seconds: u64) -> Self {
        self.issued_at = Some(seconds);
        self
    }

    /// Sets [`clock`](Self#structfield.clock).
    #[must_use]
    pub const fn clock(mut self, clock: ClockSource) -> Self {
        self.clock = clock;
        self
    }

    /// Sets [`sequence`](Self#structfield.sequence).
    #[must_use]
    pub const fn sequence(mut self, epoch: u32, counter: u64) -> Self {
        self.sequence = Some(Sequence { epoch, counter });
        self
    }

    /// Sets [`schema`](Self#structfield.schema).
    #[must_use]
    pub const fn schema(mut self, version: u32) -> Self {
        self.schema = Some(version);
        self
    }

    /// Sets [`trace`](Self#structfield.trace).
    #[must_use]
    pub const fn trace(mut self, context: [u8; 25]) -> Self {
        self.trace = Some(context);
        self
    }

    /// Sets [`reference`](Self#structfield.reference).
    #[must_use]
    pub const fn reference(mut self, reference: Reference<'a>) -> Self {
        self.reference = Some(reference);
        self
    }

    /// Sets [`beacon`](Self#structfield.beacon).
    #[must_use]
    pub const fn beacon(mut self, id: [u8; 8]) -> Self {
        self.beacon = Some(id);
        self
    }

    /// Sets [`ttl`](Self#structfield.ttl), seconds.
    #[must_use]
    pub const fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = Some(seconds);
        self
    }

    /// Sets [`attempts`](Self#structfield.attempts).
    #[must_use]
    pub const fn attempts(mut self, most: u16) -> Self {
        self.attempts = Some(most);
        self
    }

    /// Sets [`timeout`](Self#structfield.timeout), seconds.
    #[must_use]
    pub const fn timeout(mut self, seconds: u32) -> Self {
        self.timeout = Some(seconds);
        self
    }

    /// Sets [`retention`](Self#structfield.retention), seconds.
    #[must_use]
    pub const fn retention(mut self, seconds: u32) -> Self {
        self.retention = Some(seconds);
        self
    }

    /// Sets [`request`](Self#structfield.request), the SHA-256 of the request envelope.
    #[must_use]
    pub const fn request(mut self, digest: [u8; 32]) -> Self {
        self.request = Some(digest);
        self
    }
}
