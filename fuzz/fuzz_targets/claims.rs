//! Decoded claims survive encoding and decoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("claims", bytes));
