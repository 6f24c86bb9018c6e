//! A header that is accepted is the one encoding of what it says.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("header", bytes));
