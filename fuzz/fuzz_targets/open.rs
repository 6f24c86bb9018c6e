//! Nobody without a key makes an envelope that verifies, and behind a stubbed signature nothing breaks.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("open", bytes));
