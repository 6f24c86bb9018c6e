//! Callbacks of the application: randomness and time.

use core::ffi::c_void;
use core::fmt;

use rand_core::{TryCryptoRng, TryRng};
#[cfg(any(feature = "mac", feature = "verify"))]
use taskseal_core::{Clock, TimeWindow};

use crate::code::{Code, Outcome};

/// A cryptographically secure source of random bytes.
#[repr(C)]
pub struct taskseal_rng {
    /// Fills `length` bytes and returns 0. Any other value is a failure, and nothing is sealed. 12 or more bytes that
    /// are all zero are also a failure, because a function that writes nothing leaves them.
    pub fill: Option<unsafe extern "C" fn(context: *mut c_void, bytes: *mut u8, length: usize) -> i32>,
    /// Passed to `fill`.
    pub context: *mut c_void,
}

pub(crate) struct Rng {
    fill: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> i32,
    context: *mut c_void,
}

impl Rng {
    pub(crate) fn of(rng: &taskseal_rng) -> Outcome<Self> {
        let fill = rng.fill.ok_or(Code::TASKSEAL_NULL_POINTER)?;
        Ok(Self { fill, context: rng.context })
    }
}

impl TryRng for Rng {
    type Error = Failed;

    fn try_next_u32(&mut self) -> Result<u32, Failed> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Failed> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Failed> {
        bytes.fill(0);
        // SAFETY: the application's function, called according to its declaration.
        let outcome = unsafe { (self.fill)(self.context, bytes.as_mut_ptr(), bytes.len()) };
        // 12 random bytes are all zero with probability 2^-96. The bytes are combined by or, so the time reveals
        // nothing about them.
        let is_untouched = bytes.len() >= 12 && bytes.iter().fold(0, |all, byte| all | byte) == 0;
        if outcome == 0 && !is_untouched { Ok(()) } else { Err(Failed) }
    }
}

impl TryCryptoRng for Rng {}

/// For the suites without random values.
pub(crate) struct NoRng;

impl TryRng for NoRng {
    type Error = Failed;

    fn try_next_u32(&mut self) -> Result<u32, Failed> {
        Err(Failed)
    }

    fn try_next_u64(&mut self) -> Result<u64, Failed> {
        Err(Failed)
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Failed> {
        Err(Failed)
    }
}

impl TryCryptoRng for NoRng {}

/// A callback has failed. The application knows the reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

/// A signer has failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignerFailed {
    /// The signer holds no key.
    pub(crate) has_no_key: bool,
}

impl fmt::Display for SignerFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Failed, f)
    }
}

impl core::error::Error for SignerFailed {}

impl From<SignerFailed> for Code {
    fn from(failed: SignerFailed) -> Self {
        if failed.has_no_key { Self::TASKSEAL_NO_KEY } else { Self::TASKSEAL_SIGNER_FAILED }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the callback failed")
    }
}

impl core::error::Error for Failed {}

/// An interval that contains the current time: not before `earliest` and not after `latest`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taskseal_time {
    /// Earliest possible Unix time, in seconds.
    pub earliest: u64,
    /// Latest possible Unix time, in seconds; `UINT64_MAX` if unknown.
    pub latest: u64,
}

/// A clock, which is read once per task.
#[repr(C)]
pub struct taskseal_clock {
    /// Sets both ends and returns 0. With any other value the time is unknown, and every task with times is
    /// `TASKSEAL_TIME_UNKNOWN`.
    pub now: Option<unsafe extern "C" fn(context: *mut c_void, now: *mut taskseal_time) -> i32>,
    /// Passed to `now`.
    pub context: *mut c_void,
}

/// Without a clock, and with a clock that fails, the time is unknown.
#[cfg(any(feature = "mac", feature = "verify"))]
pub(crate) struct MaybeClock<'c> {
    pub(crate) clock: Option<&'c taskseal_clock>,
    /// Whether the clock was read and the time is unknown.
    pub(crate) is_unknown: bool,
}

#[cfg(any(feature = "mac", feature = "verify"))]
impl Clock for MaybeClock<'_> {
    fn now(&mut self) -> TimeWindow {
        let mut time = taskseal_time { earliest: 0, latest: u64::MAX };
        if let Some((clock, now)) = self.clock.and_then(|clock| Some((clock, clock.now?)))
            // SAFETY: the application's function, called according to its declaration.
            && unsafe { now(clock.context, &raw mut time) } == 0
        {
            return TimeWindow { earliest: time.earliest, latest: time.latest };
        }
        self.is_unknown = true;
        TimeWindow { earliest: 0, latest: u64::MAX }
    }
}
