//! Policies: the rules by which a verifier accepts envelopes, independent of the message.

use taskseal_core::{Audience, Kind, NameSet, Policy, Suite, SuiteSet};

use crate::claims::invalid_name;
use crate::code::{Code, Outcome, returned};
use crate::memory::{one, one_mut, taskseal_text};
use crate::seal::{TASKSEAL_RESULT, TASKSEAL_TASK, kind};

/// Suite S: signed, not encrypted.
pub const TASKSEAL_SUITE_S: u32 = 1 << 0;
/// Suite M: authenticated with a shared key, not encrypted.
pub const TASKSEAL_SUITE_M: u32 = 1 << 1;
/// Suite E: authenticated and encrypted with a shared key.
pub const TASKSEAL_SUITE_E: u32 = 1 << 2;
/// Suite SE: encrypted with a shared key, then signed.
pub const TASKSEAL_SUITE_SE: u32 = 1 << 3;
/// Suite SP: encrypted to a public key, then signed.
pub const TASKSEAL_SUITE_SP: u32 = 1 << 4;

/// Times based on a signed beacon are accepted.
pub const TASKSEAL_ACCEPT_BEACON: u32 = 1 << 0;
/// Tasks of issuers without a clock are accepted. They do not expire: only the replay guard prevents the transport from
/// delivering them late.
pub const TASKSEAL_ACCEPT_CLOCKLESS: u32 = 1 << 1;
/// Batches are accepted, in which one signature covers several tasks.
pub const TASKSEAL_ACCEPT_BATCHES: u32 = 1 << 2;

const SUITES: [(u32, Suite); 5] = [
    (TASKSEAL_SUITE_S, Suite::S),
    (TASKSEAL_SUITE_M, Suite::M),
    (TASKSEAL_SUITE_E, Suite::E),
    (TASKSEAL_SUITE_SE, Suite::Se),
    (TASKSEAL_SUITE_SP, Suite::Sp),
];

const ACCEPT: u32 = TASKSEAL_ACCEPT_BEACON | TASKSEAL_ACCEPT_CLOCKLESS | TASKSEAL_ACCEPT_BATCHES;

/// The rules for envelopes from one queue. Start from `taskseal_policy_for_tasks` or `taskseal_policy_for_result`.
#[repr(C)]
pub struct taskseal_policy {
    /// Deployment and queue from which the envelope was taken.
    pub audience: taskseal_text,
    /// Task types that have a handler: patterns separated by spaces; a pattern that ends in `*` matches every name with
    /// that prefix.
    pub types: taskseal_text,
    /// Accepted suites: `TASKSEAL_SUITE_...`; other bits are invalid.
    pub suites: u32,
    /// Further acceptance: `TASKSEAL_ACCEPT_...`; other bits are invalid.
    pub accept: u32,
    /// Maximum size of a body, in bytes.
    pub max_body: usize,
    /// Maximum lifetime of an envelope, in seconds, from the time at which it may run to its expiry.
    pub max_lifetime: u64,
    /// Tolerated clock skew, in seconds; limited to 300.
    pub skew: u32,
    /// Expected kind: `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    pub kind: u32,
    /// For results: SHA-256 of the request envelope, 32 bytes; otherwise NULL.
    pub request: *const u8,
}

impl taskseal_policy {
    /// # Safety
    /// The texts and the request are valid for `'a`.
    pub(crate) unsafe fn to_core<'a>(&self) -> Outcome<Policy<'a>> {
        // SAFETY: the caller's contract.
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
        // SAFETY: the caller's contract.
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

/// Fills a policy for tasks: every type for `audience`, signed and encrypted (SE, SP), bodies up to 1 MiB, lifetimes up
/// to 24 hours, and synchronised clocks with a skew of up to 60 seconds. The text is not copied.
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

/// Fills a policy for the result of the request whose envelope has this SHA-256 (32 bytes, not copied). The limits are
/// those of `taskseal_policy_for_tasks`, but with lifetimes of up to a year, because results are read late.
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
