//! The C interface of taskseal: sealing and opening tasks without heap, libc or operating system.
//!
//! Every function works in the caller's memory. Signing keys, key agreement, randomness, clock and replay guard are
//! structures with callbacks, and there are functions to fill them with software implementations. Only the cryptography
//! of the functions that a program calls is linked. The header `include/taskseal.h` is generated from this crate.
#![cfg_attr(not(any(test, panic = "unwind")), no_std)]
// The names follow the conventions of C.
#![allow(non_camel_case_types)]
// All functions have the same contract, which is at the head of the header.
#![allow(clippy::missing_safety_doc)]
// C programs use the structures, so `Debug` and `Copy` have no use.
#![allow(missing_debug_implementations, missing_copy_implementations)]
// This crate receives pointers from C. Every unsafe block states its conditions.
#![allow(unsafe_code)]
// The smaller profiles leave out functions, but not the items that only those functions use.
#![cfg_attr(not(feature = "full"), allow(dead_code, unused_imports))]
#![warn(clippy::exhaustive_enums)]
#![expect(clippy::exhaustive_structs, reason = "C programs allocate and fill these structures")]
#![warn(clippy::std_instead_of_core, clippy::alloc_instead_of_core)]

#[cfg(any(feature = "mac", feature = "verify"))]
pub mod agreement;
pub mod callbacks;
pub mod claims;
pub mod code;
pub mod keys;
pub mod memory;
#[cfg(any(feature = "mac", feature = "verify"))]
pub mod open;
#[cfg(not(any(test, panic = "unwind")))]
mod panic;
#[cfg(any(feature = "mac", feature = "verify"))]
pub mod policy;
#[cfg(any(feature = "mac", feature = "verify"))]
pub mod records;
#[cfg(any(feature = "mac", feature = "verify"))]
pub mod replay;
pub mod seal;
#[cfg(feature = "sign")]
pub mod signing;
mod stack;
