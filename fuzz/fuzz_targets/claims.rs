//! Claims that can be read can be written, and are read again as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("claims", bytes));
