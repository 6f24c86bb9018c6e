//! Sealed claims and bodies are opened unchanged, in every suite.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("round_trip", bytes));
