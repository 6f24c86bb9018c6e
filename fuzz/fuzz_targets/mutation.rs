//! Nothing that differs from a sealed envelope verifies, however it was changed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("mutation", bytes));
