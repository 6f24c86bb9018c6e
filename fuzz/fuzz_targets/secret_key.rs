//! Any secret key file is accepted, or refused with a reason, without printing the secret.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("secret_key", bytes));
