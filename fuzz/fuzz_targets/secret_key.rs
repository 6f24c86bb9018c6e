//! Any secret key file is read, or refused with a reason, and neither shows the secret.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("secret_key", bytes));
