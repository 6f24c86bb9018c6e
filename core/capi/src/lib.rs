//! The C interface of taskseal: sealing and opening tasks without heap, libc or operating system.
//!
//! Every function works in memory that the caller hands in. What is linked of cryptography follows from the
//! functions that are called: keys that sign or agree, randomness, clock and replay guard are tables of function
//! pointers, with software versions to choose. The header `include/taskseal.h` is made from this crate.
#![cfg_attr(not(any(test, panic = "unwind")), no_std)]
// The names of the interface are C's.
#![allow(non_camel_case_types)]
// The contract of every function is one; it stands at the head of the header.
#![allow(clippy::missing_safety_doc)]
// The structures are made and read in C, which has no use for `Debug` and copies what it likes.
#![allow(missing_debug_implementations, missing_copy_implementations)]
// The only crate that may: pointers of C come in here. Every block says what it relies on.
#![allow(unsafe_code)]
// The smaller profiles leave out functions, not what is used by them alone.
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
