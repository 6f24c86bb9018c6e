//! Replay guards: a structure with a callback, and windows in the caller's memory that fill it.

use core::ffi::c_void;

use taskseal_core::claims::Sequence;
use taskseal_core::replay::{
    Admission, AdmissionRequest, NotAdmitted, ReplayGuard, ReplaySlot, ReplaySlots, SequenceSlots,
    SequenceSource,
};
use taskseal_core::{Issuer, KeyId, TaskId};

use crate::claims::{TASKSEAL_HAS_ATTEMPTS, TASKSEAL_HAS_SEQUENCE, TASKSEAL_HAS_TTL, invalid_name};
use crate::code::{Code, Outcome, of_refusal, returned, to_refusal};
use crate::memory::{many_mut, one, one_mut, taskseal_text};

/// The task was never admitted before.
pub const TASKSEAL_FIRST_RUN: i32 = 0;
/// The task was admitted before and has not finished: the queue delivers it again. Not 1, which a failed function may
/// return.
pub const TASKSEAL_REDELIVERY: i32 = 2;
/// For `forget_after`: the envelope never expires.
pub const TASKSEAL_NEVER: u64 = u64::MAX;

/// The facts about a verified envelope on which a guard decides.
#[repr(C)]
pub struct taskseal_admission_request {
    /// Issuer; together with the task id, it identifies the task.
    pub issuer: taskseal_text,
    /// Identifier of the task.
    pub task_id: [u8; 16],
    /// Kid of the key that sealed the envelope.
    pub kid: [u8; 8],
    /// SHA-256 of the whole envelope.
    pub digest: [u8; 32],
    /// Unix time in seconds after which the envelope is refused as expired, so that it may be forgotten;
    /// `TASKSEAL_NEVER` if it never expires.
    pub forget_after: u64,
    /// Unix time in seconds at which the envelope was verified: the earliest time in the interval of the clock.
    pub seen_at: u64,
    /// Which of the fields below are set: `TASKSEAL_HAS_SEQUENCE`, `TASKSEAL_HAS_ATTEMPTS`, `TASKSEAL_HAS_TTL`.
    pub present: u32,
    /// Boot epoch of the issuer.
    pub sequence_epoch: u32,
    /// Counter of the issuer within the epoch.
    pub sequence_counter: u64,
    /// Time to live in seconds from the first admission.
    pub ttl: u32,
    /// Maximum number of attempts that the issuer allows.
    pub attempts: u16,
}

/// A replay guard, which decides whether a task may run. Its state must not be accessible to the transport, and must
/// survive restarts for as long as tasks are valid. Otherwise a task can run again after a restart.
#[repr(C)]
pub struct taskseal_guard {
    /// Decides on a verified envelope and stores the decision before the task runs. Returns `TASKSEAL_FIRST_RUN`,
    /// `TASKSEAL_REDELIVERY`, or a refusal such as `TASKSEAL_REPLAYED`; any other value is
    /// `TASKSEAL_GUARD_UNAVAILABLE`.
    pub admit:
        Option<unsafe extern "C" fn(context: *mut c_void, request: *const taskseal_admission_request) -> i32>,
    /// Passed to `admit`.
    pub context: *mut c_void,
}

pub(crate) struct CallbackGuard<'g>(pub(crate) &'g taskseal_guard);

impl ReplayGuard for CallbackGuard<'_> {
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        let Some(admit) = self.0.admit else { return Err(NotAdmitted::Unavailable) };
        let told = taskseal_admission_request::of(request);
        // SAFETY: the application's function, called according to its declaration.
        match unsafe { admit(self.0.context, &raw const told) } {
            TASKSEAL_FIRST_RUN => Ok(Admission::FirstRun),
            TASKSEAL_REDELIVERY => Ok(Admission::Redelivery),
            code => Err(to_refusal(code).map_or(NotAdmitted::Unavailable, NotAdmitted::Refused)),
        }
    }
}

impl taskseal_admission_request {
    fn of(request: &AdmissionRequest<'_>) -> Self {
        let bit = |is_there: bool, bit: u32| if is_there { bit } else { 0 };
        let sequence = request.sequence.unwrap_or(Sequence { epoch: 0, counter: 0 });
        Self {
            issuer: taskseal_text::of(request.issuer.as_str()),
            task_id: *request.task_id.as_bytes(),
            kid: *request.kid.as_bytes(),
            digest: request.digest,
            forget_after: request.forget_after.unwrap_or(TASKSEAL_NEVER),
            seen_at: request.seen_at,
            present: bit(request.sequence.is_some(), TASKSEAL_HAS_SEQUENCE)
                | bit(request.attempts.is_some(), TASKSEAL_HAS_ATTEMPTS)
                | bit(request.ttl.is_some(), TASKSEAL_HAS_TTL),
            sequence_epoch: sequence.epoch,
            sequence_counter: sequence.counter,
            ttl: request.ttl.unwrap_or(0),
            attempts: request.attempts.unwrap_or(0),
        }
    }

    /// # Safety
    /// The issuer is valid for `'a`.
    unsafe fn to_core<'a>(&self) -> Outcome<AdmissionRequest<'a>> {
        // SAFETY: the caller's contract.
        let issuer = Issuer::new(unsafe { self.issuer.to_str()? }).map_err(invalid_name)?;
        let has = |bit: u32| self.present & bit != 0;
        let mut request = AdmissionRequest::new(
            issuer,
            TaskId::from_bytes(self.task_id),
            KeyId::from_bytes(self.kid),
            self.digest,
            self.seen_at,
        );
        request.forget_after = (self.forget_after != TASKSEAL_NEVER).then_some(self.forget_after);
        let sequence = Sequence { epoch: self.sequence_epoch, counter: self.sequence_counter };
        request.sequence = has(TASKSEAL_HAS_SEQUENCE).then_some(sequence);
        request.ttl = has(TASKSEAL_HAS_TTL).then_some(self.ttl);
        request.attempts = has(TASKSEAL_HAS_ATTEMPTS).then_some(self.attempts);
        Ok(request)
    }
}

/// Storage for one task: 88 bytes, aligned to 8.
#[repr(C)]
pub struct taskseal_replay_slot {
    /// Private.
    words: [u64; 11],
}

const _: () = assert!(size_of::<ReplaySlot>() == size_of::<taskseal_replay_slot>());
const _: () = assert!(align_of::<ReplaySlot>() <= align_of::<taskseal_replay_slot>());

/// A replay guard in the caller's memory. It stores as many tasks as it has slots, and admits no other task
/// (`TASKSEAL_GUARD_UNAVAILABLE`) while all of them could still be accepted. The state is lost on a restart.
///
/// A slot is freed when its task has expired by the verifier's clock, including the skew; `_finish` frees no slot.
/// Required slots: tasks per second, times `max_lifetime` + `skew` of the policy. The slot of a clockless task is never
/// freed, because the task never expires: use a `taskseal_sequence_window` for such tasks.
#[repr(C)]
pub struct taskseal_replay_window {
    /// Private.
    slots: *mut taskseal_replay_slot,
    /// Private.
    count: usize,
    /// Private.
    used: usize,
    /// Private.
    floor: u64,
}

impl taskseal_replay_window {
    /// # Safety
    /// `slots` is NULL or has space for `count` slots.
    unsafe fn empty(slots: *mut taskseal_replay_slot, count: usize) -> Outcome<Self> {
        if slots.is_null() {
            return Err(Code::TASKSEAL_NULL_POINTER);
        }
        if count == 0 {
            return Err(Code::TASKSEAL_INVALID_ARGUMENT);
        }
        for index in 0..count {
            // SAFETY: the caller's contract.
            unsafe { slots.add(index).cast::<ReplaySlot>().write(ReplaySlot::default()) };
        }
        Ok(Self { slots, count, used: 0, floor: 0 })
    }

    /// # Safety
    /// `taskseal_replay_window_init` has filled the window, and the slots are still valid.
    unsafe fn with<T>(&mut self, work: impl FnOnce(&mut ReplaySlots<'_>) -> T) -> Outcome<T> {
        // SAFETY: the caller's contract; `init` has initialised every slot.
        let slots = unsafe { many_mut(self.slots.cast::<ReplaySlot>(), self.count)? };
        let mut window = ReplaySlots::resume(slots, self.used, self.floor);
        let result = work(&mut window);
        (self.used, self.floor) = (window.len(), window.floor());
        Ok(result)
    }
}

/// Initialises an empty window of `count` slots, which must not move while the window is in use. Previously stored
/// tasks are forgotten and could run again. A `count` of 0 is `TASKSEAL_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_replay_window_init(
    window: *mut taskseal_replay_window,
    slots: *mut taskseal_replay_slot,
    count: usize,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(window).and_then(|window| {
            *window = taskseal_replay_window::empty(slots, count)?;
            Ok(0)
        })
    };
    returned(made)
}

/// Marks a task as finished: further envelopes with its id are replays. Returns 1 if the task was known, 0 if not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_replay_window_finish(
    window: *mut taskseal_replay_window,
    issuer: taskseal_text,
    task_id: *const u8,
) -> i32 {
    // SAFETY: the contract of the interface.
    let finished = unsafe {
        one_mut(window).and_then(|window| {
            let issuer = Issuer::new(issuer.to_str()?).map_err(invalid_name)?;
            let task_id = TaskId::from_bytes(*one(task_id.cast())?);
            window.with(|slots| usize::from(slots.finish(issuer, task_id)))
        })
    };
    returned(finished)
}

/// Fills `guard` with a window. The window must not move while the guard is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_window_guard(
    guard: *mut taskseal_guard,
    window: *mut taskseal_replay_window,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(guard).and_then(|guard| {
            one(window)?;
            *guard = taskseal_guard { admit: Some(admit), context: window.cast() };
            Ok(0)
        })
    };
    returned(made)
}

unsafe extern "C" fn admit(context: *mut c_void, request: *const taskseal_admission_request) -> i32 {
    // SAFETY: `taskseal_window_guard` has stored a window there.
    let admitted = unsafe {
        one_mut(context.cast::<taskseal_replay_window>()).and_then(|window| {
            let request = one(request)?.to_core()?;
            of_admission(window.with(|slots| slots.admit(&request))?)
        })
    };
    returned(admitted)
}

const FIRST_RUN: usize = TASKSEAL_FIRST_RUN as usize;
const REDELIVERY: usize = TASKSEAL_REDELIVERY as usize;

fn of_admission(admission: Result<Admission, NotAdmitted>) -> Outcome<usize> {
    match admission {
        Ok(Admission::FirstRun) => Ok(FIRST_RUN),
        Ok(_) => Ok(REDELIVERY),
        Err(NotAdmitted::Refused(refusal)) => Err(of_refusal(refusal)),
        Err(_) => Err(Code::TASKSEAL_GUARD_UNAVAILABLE),
    }
}

/// Storage for the sequence of one issuer and key: 40 bytes, aligned to 8.
#[repr(C)]
pub struct taskseal_sequence_source {
    /// Private.
    words: [u64; 5],
}

const _: () = assert!(size_of::<SequenceSource>() == size_of::<taskseal_sequence_source>());
const _: () = assert!(align_of::<SequenceSource>() <= align_of::<taskseal_sequence_source>());

/// A replay guard for issuers without a clock: a `taskseal_replay_window` that also stores, for every issuer and key,
/// the newest sequence and which of the 64 counters up to it were admitted. Finished tasks never fill it up: a copy of
/// a forgotten task is `TASKSEAL_REPLAYED` by its counter, and a counter that is more than 63 behind the newest, or of
/// an earlier epoch, is `TASKSEAL_OUT_OF_SEQUENCE`. The state is lost on a restart.
///
/// The slot of a clockless task is freed when another task needs it: after `keep` seconds by the verifier's clock, or
/// after the task has finished. Without a clock only `_finish` frees slots, so call it also for abandoned tasks.
/// Required slots: the maximum number of unfinished clockless tasks, at least one, plus those for tasks with times as
/// in `taskseal_replay_window`. A source is never freed: provide one for each pair of issuer and key.
#[repr(C)]
pub struct taskseal_sequence_window {
    /// Private.
    window: taskseal_replay_window,
    /// Private.
    sources: *mut taskseal_sequence_source,
    /// Private.
    count: usize,
    /// Private.
    known: usize,
    /// Private.
    keep: u32,
}

/// Initialises an empty window of slots for tasks and sources for issuers, which must not move while the window is in
/// use. `keep` is the time in seconds within which the queue redelivers a clockless task. Previously stored tasks are
/// forgotten. No slots or no sources are `TASKSEAL_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_sequence_window_init(
    window: *mut taskseal_sequence_window,
    slots: *mut taskseal_replay_slot,
    slot_count: usize,
    sources: *mut taskseal_sequence_source,
    source_count: usize,
    keep: u32,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(window).and_then(|window| {
            if sources.is_null() {
                return Err(Code::TASKSEAL_NULL_POINTER);
            }
            if source_count == 0 {
                return Err(Code::TASKSEAL_INVALID_ARGUMENT);
            }
            for index in 0..source_count {
                sources.add(index).cast::<SequenceSource>().write(SequenceSource::EMPTY);
            }
            let tasks = taskseal_replay_window::empty(slots, slot_count)?;
            *window =
                taskseal_sequence_window { window: tasks, sources, count: source_count, known: 0, keep };
            Ok(0)
        })
    };
    returned(made)
}

/// Like `taskseal_replay_window_finish`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_sequence_window_finish(
    window: *mut taskseal_sequence_window,
    issuer: taskseal_text,
    task_id: *const u8,
) -> i32 {
    // SAFETY: the contract of the interface; no field of NULL is read.
    unsafe {
        match one_mut(window) {
            Ok(window) => taskseal_replay_window_finish(&raw mut window.window, issuer, task_id),
            Err(code) => returned(Err(code)),
        }
    }
}

/// Fills `guard` with a window. The window must not move while the guard is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_sequence_guard(
    guard: *mut taskseal_guard,
    window: *mut taskseal_sequence_window,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(guard).and_then(|guard| {
            one(window)?;
            *guard = taskseal_guard { admit: Some(admit_by_sequence), context: window.cast() };
            Ok(0)
        })
    };
    returned(made)
}

unsafe extern "C" fn admit_by_sequence(
    context: *mut c_void,
    request: *const taskseal_admission_request,
) -> i32 {
    // SAFETY: `taskseal_sequence_guard` has stored a window there.
    let admitted = unsafe {
        one_mut(context.cast::<taskseal_sequence_window>()).and_then(|window| {
            let request = one(request)?.to_core()?;
            let sources = many_mut(window.sources.cast::<SequenceSource>(), window.count)?;
            let (known, keep) = (window.known, window.keep);
            let (admission, known) = window.window.with(|slots| {
                let mut slots = SequenceSlots::resume(slots, sources, known, keep);
                (slots.admit(&request), slots.known())
            })?;
            window.known = known;
            of_admission(admission)
        })
    };
    returned(admitted)
}
