//! A message that is accepted survives encoding, and is then in its one canonical form.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("message", bytes));
