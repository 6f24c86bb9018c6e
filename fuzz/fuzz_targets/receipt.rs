//! An accepted receipt leads any leaf to one root.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("receipt", bytes));
