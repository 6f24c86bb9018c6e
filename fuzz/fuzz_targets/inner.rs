//! An accepted encrypted object has one source of its content key.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("inner", bytes));
