//! No envelope verifies without a key, and no input breaks the code behind a stubbed signature.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("open", bytes));
