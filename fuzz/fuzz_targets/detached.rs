//! A detached envelope is not accepted as an attached one, and is never encrypted.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("detached", bytes));
