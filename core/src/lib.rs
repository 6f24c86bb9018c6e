//! Sealed task envelopes without std or heap.
#![no_std]
#![forbid(unsafe_code)]
