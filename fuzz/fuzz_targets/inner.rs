//! An encrypted object that is accepted names one way to its key.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("inner", bytes));
