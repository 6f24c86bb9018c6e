//! Claims: the signed statements about a task.

use taskseal_core::claims::{ClockSource, Sequence};
use taskseal_core::name::{InvalidName, Reference};
use taskseal_core::{Audience, Claims, Issuer, TaskId, TaskType};

use crate::code::{Code, Outcome};
use crate::memory::taskseal_text;

/// `expires_at` is set.
pub const TASKSEAL_HAS_EXPIRES_AT: u32 = 1 << 0;
/// `not_before` is set.
pub const TASKSEAL_HAS_NOT_BEFORE: u32 = 1 << 1;
/// `issued_at` is set.
pub const TASKSEAL_HAS_ISSUED_AT: u32 = 1 << 2;
/// `sequence_epoch` and `sequence_counter` are set.
pub const TASKSEAL_HAS_SEQUENCE: u32 = 1 << 3;
/// `schema` is set.
pub const TASKSEAL_HAS_SCHEMA: u32 = 1 << 4;
/// `trace` is set.
pub const TASKSEAL_HAS_TRACE: u32 = 1 << 5;
/// `reference` is set.
pub const TASKSEAL_HAS_REFERENCE: u32 = 1 << 6;
/// `beacon` is set.
pub const TASKSEAL_HAS_BEACON: u32 = 1 << 7;
/// `ttl` is set.
pub const TASKSEAL_HAS_TTL: u32 = 1 << 8;
/// `attempts` is set.
pub const TASKSEAL_HAS_ATTEMPTS: u32 = 1 << 9;
/// `timeout` is set.
pub const TASKSEAL_HAS_TIMEOUT: u32 = 1 << 10;
/// `retention` is set.
pub const TASKSEAL_HAS_RETENTION: u32 = 1 << 11;
/// `request` is set.
pub const TASKSEAL_HAS_REQUEST: u32 = 1 << 12;

/// All defined bits of `present`.
const KNOWN: u32 = (1 << 13) - 1;

/// The issuer has a synchronised clock.
pub const TASKSEAL_CLOCK_SYNCHRONISED: u32 = 0;
/// The time of the issuer is based on a signed beacon.
pub const TASKSEAL_CLOCK_BEACON: u32 = 1;
/// The issuer has no clock: its tasks have a sequence instead of times.
pub const TASKSEAL_CLOCK_NONE: u32 = 2;

/// The claims of a task. Claims are signed, not encrypted: the transport can read them.
///
/// A FIELD WITHOUT ITS BIT IN `present` IS IGNORED without an error: set the bit together with the field. Only the
/// first four fields and `clock` are always used.
///
/// | `clock` | required | may be | forbidden |
/// | --- | --- | --- | --- |
/// | `..._SYNCHRONISED` | `issued_at`, `expires_at` | `not_before`, sequence | `ttl`, `beacon` |
/// | `..._BEACON` | `issued_at`, `expires_at`, `beacon` | `not_before`, sequence | `ttl` |
/// | `..._NONE` | sequence | `ttl` | `issued_at`, `expires_at`, `not_before`, `beacon` |
///
/// `request` is required in results and forbidden in tasks; the other fields are allowed with every clock. Times are
/// Unix time in seconds, less than 2^40, which milliseconds exceed. Any other combination is
/// `TASKSEAL_INCONSISTENT_CLAIMS`.
#[repr(C)]
pub struct taskseal_claims {
    /// Issuer of the task: 1 to 64 characters from 0x21 to 0x7e.
    pub issuer: taskseal_text,
    /// Type of the task, for example `email:deliver`: 1 to 128 characters.
    pub task_type: taskseal_text,
    /// Audience, `deployment/queue`, where the task may run: 1 to 128 characters.
    pub audience: taskseal_text,
    /// Identifier of the task. Must be used for one task only.
    pub task_id: [u8; 16],
    /// Which of the fields below are set: `TASKSEAL_HAS_...`.
    pub present: u32,
    /// Clock of the issuer: `TASKSEAL_CLOCK_...`.
    pub clock: u32,
    /// Unix time in seconds from which the task is refused. Required with a clock.
    pub expires_at: u64,
    /// Unix time in seconds before which the task does not run.
    pub not_before: u64,
    /// Unix time in seconds at which the task was sealed. Required with a clock.
    pub issued_at: u64,
    /// Counter of the issuer's tasks within an epoch. Required without a clock.
    pub sequence_counter: u64,
    /// Boot epoch: incremented and stored at each boot.
    pub sequence_epoch: u32,
    /// Schema version of the body.
    pub schema: u32,
    /// Time to live in seconds from the first admission; without a clock only.
    pub ttl: u32,
    /// Time limit of one attempt, in seconds.
    pub timeout: u32,
    /// Time for which the finished task is kept, in seconds.
    pub retention: u32,
    /// Maximum number of attempts that the issuer allows.
    pub attempts: u16,
    /// W3C trace context: trace id (16 bytes), parent id (8), flags (1).
    pub trace: [u8; 25],
    /// Identifier of the beacon that the times are based on; with a beacon clock only.
    pub beacon: [u8; 8],
    /// Identifier of the task in the queue framework: 1 to 64 characters.
    pub reference: taskseal_text,
    /// SHA-256 of the request envelope; in results only.
    pub request: [u8; 32],
}

impl taskseal_claims {
    /// # Safety
    /// The texts are valid for `'a`.
    pub(crate) unsafe fn to_core<'a>(&self) -> Outcome<Claims<'a>> {
        if self.present & !KNOWN != 0 {
            return Err(Code::TASKSEAL_INVALID_ARGUMENT);
        }
        // SAFETY: the caller's contract.
        let [issuer, task_type, audience] =
            unsafe { [self.issuer.to_str()?, self.task_type.to_str()?, self.audience.to_str()?] };
        let mut claims = Claims::new(
            Issuer::new(issuer).map_err(invalid_name)?,
            TaskType::new(task_type).map_err(invalid_name)?,
            Audience::new(audience).map_err(invalid_name)?,
            TaskId::from_bytes(self.task_id),
        );
        claims.clock = match self.clock {
            TASKSEAL_CLOCK_SYNCHRONISED => ClockSource::Synchronised,
            TASKSEAL_CLOCK_BEACON => ClockSource::Beacon,
            TASKSEAL_CLOCK_NONE => ClockSource::None,
            _ => return Err(Code::TASKSEAL_INVALID_ARGUMENT),
        };
        claims.expires_at = self.has(TASKSEAL_HAS_EXPIRES_AT).then_some(self.expires_at);
        claims.not_before = self.has(TASKSEAL_HAS_NOT_BEFORE).then_some(self.not_before);
        claims.issued_at = self.has(TASKSEAL_HAS_ISSUED_AT).then_some(self.issued_at);
        claims.sequence = self
            .has(TASKSEAL_HAS_SEQUENCE)
            .then_some(Sequence { epoch: self.sequence_epoch, counter: self.sequence_counter });
        claims.schema = self.has(TASKSEAL_HAS_SCHEMA).then_some(self.schema);
        claims.trace = self.has(TASKSEAL_HAS_TRACE).then_some(self.trace);
        if self.has(TASKSEAL_HAS_REFERENCE) {
            // SAFETY: the caller's contract.
            let reference = unsafe { self.reference.to_str()? };
            claims.reference = Some(Reference::new(reference).map_err(invalid_name)?);
        }
        claims.beacon = self.has(TASKSEAL_HAS_BEACON).then_some(self.beacon);
        claims.ttl = self.has(TASKSEAL_HAS_TTL).then_some(self.ttl);
        claims.attempts = self.has(TASKSEAL_HAS_ATTEMPTS).then_some(self.attempts);
        claims.timeout = self.has(TASKSEAL_HAS_TIMEOUT).then_some(self.timeout);
        claims.retention = self.has(TASKSEAL_HAS_RETENTION).then_some(self.retention);
        claims.request = self.has(TASKSEAL_HAS_REQUEST).then_some(self.request);
        Ok(claims)
    }

    const fn has(&self, bit: u32) -> bool {
        self.present & bit != 0
    }

    #[cfg(any(feature = "mac", feature = "verify"))]
    pub(crate) fn set(&mut self, claims: &Claims<'_>) {
        self.issuer = taskseal_text::of(claims.issuer.as_str());
        self.task_type = taskseal_text::of(claims.task_type.as_str());
        self.audience = taskseal_text::of(claims.audience.as_str());
        self.task_id = *claims.task_id.as_bytes();
        self.clock = match claims.clock {
            ClockSource::Beacon => TASKSEAL_CLOCK_BEACON,
            ClockSource::None => TASKSEAL_CLOCK_NONE,
            _ => TASKSEAL_CLOCK_SYNCHRONISED,
        };
        let sequence = claims.sequence.unwrap_or(Sequence { epoch: 0, counter: 0 });
        let mut present = 0;
        let mut note = |is_there: bool, bit: u32| {
            if is_there {
                present |= bit;
            }
        };
        note(claims.expires_at.is_some(), TASKSEAL_HAS_EXPIRES_AT);
        note(claims.not_before.is_some(), TASKSEAL_HAS_NOT_BEFORE);
        note(claims.issued_at.is_some(), TASKSEAL_HAS_ISSUED_AT);
        note(claims.sequence.is_some(), TASKSEAL_HAS_SEQUENCE);
        note(claims.schema.is_some(), TASKSEAL_HAS_SCHEMA);
        note(claims.trace.is_some(), TASKSEAL_HAS_TRACE);
        note(claims.reference.is_some(), TASKSEAL_HAS_REFERENCE);
        note(claims.beacon.is_some(), TASKSEAL_HAS_BEACON);
        note(claims.ttl.is_some(), TASKSEAL_HAS_TTL);
        note(claims.attempts.is_some(), TASKSEAL_HAS_ATTEMPTS);
        note(claims.timeout.is_some(), TASKSEAL_HAS_TIMEOUT);
        note(claims.retention.is_some(), TASKSEAL_HAS_RETENTION);
        note(claims.request.is_some(), TASKSEAL_HAS_REQUEST);
        self.present = present;
        self.expires_at = claims.expires_at.unwrap_or(0);
        self.not_before = claims.not_before.unwrap_or(0);
        self.issued_at = claims.issued_at.unwrap_or(0);
        self.sequence_counter = sequence.counter;
        self.sequence_epoch = sequence.epoch;
        self.schema = claims.schema.unwrap_or(0);
        self.ttl = claims.ttl.unwrap_or(0);
        self.timeout = claims.timeout.unwrap_or(0);
        self.retention = claims.retention.unwrap_or(0);
        self.attempts = claims.attempts.unwrap_or(0);
        self.trace = claims.trace.unwrap_or([0; 25]);
        self.beacon = claims.beacon.unwrap_or([0; 8]);
        self.reference = taskseal_text::of(claims.reference.as_ref().map_or("", Reference::as_str));
        self.request = claims.request.unwrap_or([0; 32]);
    }
}

pub(crate) fn invalid_name(_: InvalidName) -> Code {
    Code::TASKSEAL_INVALID_NAME
}
