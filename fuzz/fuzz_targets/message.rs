//! An accepted message survives encoding, which gives its canonical form.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("message", bytes));
