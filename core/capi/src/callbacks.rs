//! What the application gives: randomness and time.

use core::ffi::c_void;
use core::fmt;

use rand_core::{TryCryptoRng, TryRng};
#[cfg(any(feature = "mac", feature = "verify"))]
use taskseal_core::{Clock, TimeWindow};

use crate::code::{Code, Outcome};

/// A cryptographically secure source of random bytes.
#[repr(C)]
pub struct taskseal_rng {
    /// Fills `length` bytes and returns 0; anything else: no bytes, and nothing is sealed. Nor is it where 12 bytes or
    /// more are all zero, which a function leaves that fills nothing.
    pub fill: Option<unsafe extern "C" fn(context: *mut c_void, bytes: *mut u8, length: usize) -> i32>,
    /// Handed to `fill`.
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
        // SAFETY: the application's function, called as its declaration says.
        let outcome = unsafe { (self.fill)(self.context, bytes.as_mut_ptr(), bytes.len()) };
        // Of random bytes 12 are zero once in 2^96. Or-ed, not searched: the time tells nothing about them.
        let is_untouched = bytes.len() >= 12 && bytes.iter().fold(0, |all, byte| all | byte) == 0;
        if outcome == 0 && !is_untouched { Ok(()) } else { Err(Failed) }
    }
}

impl TryCryptoRng for Rng {}

/// For the suites that draw nothing.
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

/// A callback has failed; it has told whoever needs to know why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

/// A signer has failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignerFailed {
    /// Because it holds no key.
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

/// What a clock knows: the time is not before `earliest` and not after `latest`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taskseal_time {
    /// Unix time in seconds: the earliest it can be.
    pub earliest: u64,
    /// Unix time in seconds: the latest it can be; `UINT64_MAX` if that is not known.
    pub latest: u64,
}

/// The time, asked for once a task.
#[repr(C)]
pub struct taskseal_clock {
    /// Sets both ends and returns 0; anything else: the time is not known, and every task with times gets
    /// `TASKSEAL_TIME_UNKNOWN`.
    pub now: Option<unsafe extern "C" fn(context: *mut c_void, now: *mut taskseal_time) -> i32>,
    /// Handed to `now`.
    pub context: *mut c_void,
}

/// No clock, and a clock that fails, know nothing about the time.
#[cfg(any(feature = "mac", feature = "verify"))]
pub(crate) struct MaybeClock<'c> {
    pub(crate) clock: Option<&'c taskseal_clock>,
    /// It was asked and had no answer.
    pub(crate) is_unknown: bool,
}

#[cfg(any(feature = "mac", feature = "verify"))]
impl Clock for MaybeClock<'_> {
    fn now(&mut self) -> TimeWindow {
        let mut time = taskseal_time { earliest: 0, latest: u64::MAX };
        if let Some((clock, now)) = self.clock.and_then(|clock| Some((clock, clock.now?)))
            // SAFETY: the application's function, called as its declaration says.
            && unsafe { now(clock.context, &raw mut time) } == 0
        {
            return TimeWindow { earliest: time.earliest, latest: time.latest };
        }
        self.is_unknown = true;
        TimeWindow { earliest: 0, latest: u64::MAX }
    }
}
