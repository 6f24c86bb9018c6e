//! An accepted key URI contains no PIN.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("pkcs11_uri", bytes));
