//! Policy: what a verifier accepts, decided by itself and never by the message.

use taskseal_core::{Audience, Kind, NameSet, Policy, Suite, SuiteSet};

use crate::claims::invalid_name;
use crate::code::{Code, Outcome, returned};
use crate::memory::{one, one_mut, taskseal_text};
use crate::seal::{TASKSEAL_RESULT, TASKSEAL_TASK, kind};

/// Suite S: signed, readable by all.
pub const TASKSEAL_SUITE_S: u32 = 1 << 0;
/// Suite M: authenticated by a shared key, readable by all.
pub const TASKSEAL_SUITE_M: u32 = 1 << 1;
/// Suite E: authenticated and encrypted by a shared key.
pub const TASKSEAL_SUITE_E: u32 = 1 << 2;
/// Suite SE: encrypted by a shared key, then signed.
pub const TASKSEAL_SUITE_SE: u32 = 1 << 3;
/// Suite SP: encrypted to a public key, then signed.
pub const TASKSEAL_SUITE_SP: u32 = 1 << 4;

/// Times counted from a signed beacon are accepted.
pub const TASKSEAL_ACCEPT_BEACON: u32 = 1 << 0;
/// Tasks of issuers without a clock are accepted. They do not expire: only the replay guard stands between a late
/// carrier and a late run.
pub const TASKSEAL_ACCEPT_CLOCKLESS: u32 = 1 << 1;
/// Batches are accepted: one signature over many tasks.
pub const TASKSEAL_ACCEPT_BATCHES: u32 = 1 << 2;

const SUITES: [(u32, Suite); 5] = [
    (TASKSEAL_SUITE_S, Suite::S),
    (TASKSEAL_SUITE_M, Suite::M),
    (TASKSEAL_SUITE_E, Suite::E),
    (TASKSEAL_SUITE_SE, Suite::Se),
    (TASKSEAL_SUITE_SP, Suite::Sp),
];

const ACCEPT: u32 = TASKSEAL_ACCEPT_BEACON | TASKSEAL_ACCEPT_CLOCKLESS | TASKSEAL_ACCEPT_BATCHES;

/// What a verifier accepts from one queue. Start from `taskseal_policy_for_tasks` or `taskseal_policy_for_result`.
#[repr(C)]
pub struct taskseal_policy {
    /// The deployment and queue that the envelope was really taken from.
    pub audience: taskseal_text,
    /// Task types that somebody here handles: patterns separated by spaces, `*` at the end of one stands for the
    /// rest of a name.
    pub types: taskseal_text,
    /// Suites accepted: `TASKSEAL_SUITE_...`; no other bit.
    pub suites: u32,
    /// What else is accepted: `TASKSEAL_ACCEPT_...`; no other bit.
    pub accept: u32,
    /// Most bytes of a body.
    pub max_body: usize,
    /// Most seconds between the time from which an envelope may be run and its expiry.
    pub max_lifetime: u64,
    /// Seconds by which clocks may differ; at most 300 count.
    pub skew: u32,
    /// The kind that is due: `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    pub kind: u32,
    /// For results: SHA-256 of the request envelope, 32 bytes; else NULL.
    pub request: *const u8,
}

impl taskseal_policy {
    /// # Safety
    /// The texts and the request are good for as long as `'a`.
    pub(crate) unsafe fn to_core<'a>(&self) -> Outcome<Policy<'a>> {
        // SAFETY: handed on to the caller.
        let (audience, types) = unsafe { (self.audience.to_str()?, self.types.to_str()?) };
        let mut policy = Policy::for_tasks(Audience::new(audience).map_err(invalid_name)?);
        policy.types = NameSet::new(types);
        if self.suites & !suites_known() != 0 || self.accept & !ACCEPT != 0 {
            return Err(Code::TASKSEAL_INVALID_ARGUMENT);
        }
        policy.suites = suites(self.suites);
        policy.max_body = self.max_body;
        policy.max_lifetime = self.max_lifetime;
        policy.skew = self.skew;
        policy.kind = kind(self.kind)?;
        policy.accept_beacon = self.accept & TASKSEAL_ACCEPT_BEACON != 0;
        policy.accept_clockless = self.accept & TASKSEAL_ACCEPT_CLOCKLESS != 0;
        policy.accept_batches = self.accept & TASKSEAL_ACCEPT_BATCHES != 0;
        // SAFETY: handed on to the caller.
        policy.request = unsafe { self.request.cast::<[u8; 32]>().as_ref() }.copied();
        match (policy.kind, policy.request) {
            (Kind::Result, None) => Err(Code::TASKSEAL_INVALID_ARGUMENT),
            _ => Ok(policy),
        }
    }

    fn set(&mut self, audience: taskseal_text, policy: &Policy<'_>) {
        *self = Self {
            audience,
            types: taskseal_text::of("*"),
            suites: TASKSEAL_SUITE_SE | TASKSEAL_SUITE_SP,
            accept: 0,
            max_body: policy.max_body,
            max_lifetime: policy.max_lifetime,
            skew: policy.skew,
            kind: TASKSEAL_TASK,
            request: core::ptr::null(),
        };
    }
}

fn suites_known() -> u32 {
    SUITES.iter().fold(0, |bits, (bit, _)| bits | bit)
}

fn suites(bits: u32) -> SuiteSet {
    SUITES.iter().filter(|(bit, _)| bits & bit != 0).fold(SuiteSet::NONE, |set, (_, suite)| set.with(*suite))
}

pub(crate) fn suite_bit(suite: Suite) -> u32 {
    SUITES.iter().find(|(_, other)| *other == suite).map_or(0, |(bit, _)| *bit)
}

/// Accepts tasks for `audience` of every type, signed and encrypted (SE, SP), with bodies up to 1 MiB, valid for at
/// most 24 hours, by synchronised clocks that differ by 60 seconds at most. The text is not copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_policy_for_tasks(
    policy: *mut taskseal_policy,
    audience: taskseal_text,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(policy).and_then(|policy| {
            let name = Audience::new(audience.to_str()?).map_err(invalid_name)?;
            policy.set(audience, &Policy::for_tasks(name));
            Ok(0)
        })
    };
    returned(made)
}

/// Accepts the result of the request whose envelope has this SHA-256 (32 bytes, not copied), with the limits of
/// `taskseal_policy_for_tasks` but a lifetime of up to a year: results are read late.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_policy_for_result(
    policy: *mut taskseal_policy,
    audience: taskseal_text,
    request: *const u8,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(policy).and_then(|policy| {
            let name = Audience::new(audience.to_str()?).map_err(invalid_name)?;
            let digest = one(request.cast::<[u8; 32]>())?;
            policy.set(audience, &Policy::for_result(name, *digest));
            policy.kind = TASKSEAL_RESULT;
            policy.request = request;
            Ok(0)
        })
    };
    returned(made)
}
