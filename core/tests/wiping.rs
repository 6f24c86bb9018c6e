//! Secrets do not survive their use: after sealing, opening and refusing, and after keys are dropped, no part of a key,
//! a content key, an agreed secret, a signature nonce or a plaintext is left in the memory of the process.
//!
//! Each case runs in a separate process, deep in the stack of a thread, and then waits. The test reads the writable
//! memory of that process, stacks and heap, and searches for the secrets, which are deterministic. This includes the
//! registers: a signal immediately after the work makes the kernel store them on the stack.
//!
//! The remains of the primitives depend on the processor: `tests/run constant-time` runs this program once for each
//! backend of the processor.
//!
//! Run it in a release build: without optimisation every move of a value leaves a copy in the stack frame of the
//! caller.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))] // Other targets are not covered.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Code of a test, which clippy does not recognise as such.

#[path = "wiping/memory.rs"]
mod memory;
#[path = "wiping/needles.rs"]
mod needles;
#[path = "wiping/work.rs"]
mod work;

use std::hint::black_box;

use taskseal_core::Suite;

use self::memory::survivors;
use self::needles::{hedged_needles, needles};
use self::work::{
    ENVELOPE_LEN, Stop, encode_keys, encrypt_with_primitive, fill, make_keys, open, seal, seal_batch,
    seal_detached, seal_hedged, sealed, sealed_wrongly,
};

/// The work of a process before its memory is read.
#[derive(Clone, Copy, Debug)]
enum Case {
    LeaksOnHeap,
    LeaksOnStack,
    LeaksInRegister,
    MakesKeys,
    EncodesKeys,
    Seals(Suite),
    SealsBatch(Suite),
    SealsDetached,
    SealsHedged(Suite),
    Opens(Suite),
    /// The tag is wrong; inside a signature, that of the ciphertext.
    Refuses(Suite),
    /// The memory is read after the body was read and dropped.
    Reads(Suite),
    /// Uses a primitive without the wiping of this crate.
    Encrypts,
    /// The memory is read during decryption.
    Decrypts(Suite),
    /// The memory is read while the process holds the agreed secret.
    Agrees,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = vec![Self::LeaksOnHeap, Self::LeaksOnStack, Self::LeaksInRegister];
        all.extend([Self::MakesKeys, Self::EncodesKeys, Self::Agrees]);
        all.extend([Self::SealsDetached, Self::Encrypts]);
        for case in [
            Self::Seals,
            Self::SealsBatch,
            Self::SealsHedged,
            Self::Opens,
            Self::Refuses,
            Self::Decrypts,
            Self::Reads,
        ] {
            all.extend(Suite::ALL.map(case));
        }
        all
    }

    fn run(self) {
        match self {
            Self::LeaksOnHeap => {
                let mut copy = Box::new([0; 32]);
                fill("encryption key", copy.as_mut_slice());
                std::mem::forget(black_box(copy));
            }
            Self::LeaksOnStack => {
                let mut copy = [0; 32];
                fill("encryption key", &mut copy);
                black_box(&copy);
            }
            Self::LeaksInRegister => {
                copy_through_registers();
                overwrite_frames();
            }
            Self::MakesKeys => make_keys(),
            Self::EncodesKeys => encode_keys(),
            Self::Seals(suite) => seal(suite, &mut [0; ENVELOPE_LEN]),
            Self::SealsBatch(suite) => seal_batch(suite),
            Self::SealsDetached => seal_detached(),
            Self::SealsHedged(suite) => seal_hedged(suite, &mut [0; ENVELOPE_LEN]),
            Self::Opens(suite) => assert!(open(suite, memory::input(), Stop::Never)),
            Self::Decrypts(suite) => assert!(open(suite, memory::input(), Stop::WhenDecrypting)),
            Self::Agrees => assert!(open(Suite::Sp, memory::input(), Stop::WhenAgreed)),
            Self::Refuses(suite) => assert!(!open(suite, memory::input(), Stop::Never)),
            Self::Reads(suite) => assert!(open(suite, memory::input(), Stop::WhenRead)),
            Self::Encrypts => encrypt_with_primitive(),
        }
    }
}

/// Copies a secret through registers; the copies in stack frames are overwritten later.
#[inline(never)]
fn copy_through_registers() {
    let mut copy = [0; 32];
    fill("encryption key", &mut copy);
    black_box(black_box(copy));
}

/// Overwrites more than the frames that were left.
#[inline(never)]
fn overwrite_frames() {
    black_box(&mut [0_u8; 8 << 10]);
}

#[test]
#[ignore = "the process that the tests below look into"]
fn process() {
    memory::wait_after(|name| {
        let case = Case::all().into_iter().find(|case| format!("{case:?}") == name);
        case.expect("a case of that name").run();
    });
}

/// Returns the names of the secrets found in the process.
fn found_after(case: Case) -> Vec<String> {
    let suite = match case {
        Case::Seals(suite)
        | Case::SealsBatch(suite)
        | Case::SealsHedged(suite)
        | Case::Opens(suite)
        | Case::Refuses(suite)
        | Case::Reads(suite)
        | Case::Decrypts(suite) => suite,
        Case::SealsDetached => Suite::M,
        Case::Encrypts => Suite::E,
        _ => Suite::Sp,
    };
    // Sealed in another process, because other cases cover the remains of sealing.
    let envelope = if matches!(case, Case::Refuses(_)) { sealed_wrongly(suite) } else { sealed(suite) };
    let needles = if matches!(case, Case::SealsHedged(_)) { hedged_needles(suite) } else { needles(suite) };
    survivors(&format!("{case:?}"), &envelope, &needles)
}

#[test]
fn control_a_copy_on_the_heap_is_found() {
    assert_eq!(found_after(Case::LeaksOnHeap), ["encryption key"]);
}

#[test]
fn control_a_copy_in_a_frame_that_was_left_is_found() {
    assert_eq!(found_after(Case::LeaksOnStack), ["encryption key"]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run constant-time")]
fn control_a_copy_in_a_register_is_found() {
    assert_eq!(found_after(Case::LeaksInRegister), ["encryption key"]);
}

/// The forms of keys and keystream in the primitives are those that the test searches for, on each backend.
#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run constant-time")]
fn control_what_a_primitive_holds_and_leaves_is_found() {
    let found = found_after(Case::Encrypts);
    for name in ["content key", "round key", "power of the key of GHASH"] {
        assert!(found.iter().any(|found| found == name), "{name}: {found:?}");
    }
}

#[test]
fn control_what_is_in_use_is_found() {
    for (suite, key) in
        [(Suite::E, "encryption key"), (Suite::Se, "encryption key"), (Suite::Sp, "agreement key")]
    {
        let found = found_after(Case::Decrypts(suite));
        assert!(found.iter().any(|name| name == "content key"), "{suite}: {found:?}");
        assert!(found.iter().any(|name| name == key), "{suite}: {found:?}");
    }
    let found = found_after(Case::Agrees);
    assert!(found.iter().any(|name| name == "agreed secret"), "{found:?}");
}

/// Returns the names of the cases that leave secrets, with the secrets.
fn left_by(cases: impl IntoIterator<Item = Case>) -> Vec<(String, Vec<String>)> {
    let after = |case: Case| (format!("{case:?}"), found_after(case));
    cases.into_iter().map(after).filter(|(_, found)| !found.is_empty()).collect()
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run constant-time")]
fn keys_leave_nothing_when_they_are_dropped() {
    assert_eq!(left_by([Case::MakesKeys, Case::EncodesKeys]), []);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run constant-time")]
fn sealing_leaves_nothing() {
    let alone = Suite::ALL.into_iter().flat_map(|suite| [Case::Seals(suite), Case::SealsHedged(suite)]);
    let batches = [Suite::S, Suite::Se, Suite::Sp].map(Case::SealsBatch);
    assert_eq!(left_by(alone.chain(batches).chain([Case::SealsDetached])), []);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run constant-time")]
fn opening_leaves_nothing_once_the_body_is_dropped() {
    assert_eq!(left_by(Suite::ALL.map(Case::Opens)), []);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run constant-time")]
fn a_body_that_was_read_leaves_nothing_once_it_is_dropped() {
    for suite in [Suite::E, Suite::Se, Suite::Sp] {
        let found = found_after(Case::Reads(suite));
        // Keys are still in use.
        let of_body = found.iter().filter(|name| matches!(name.as_str(), "body" | "keystream" | "round key"));
        assert_eq!(of_body.count(), 0, "{suite}: {found:?}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run constant-time")]
fn refusing_leaves_nothing() {
    assert_eq!(left_by(Suite::ALL.map(Case::Refuses)), []);
}
