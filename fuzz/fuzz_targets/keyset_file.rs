//! Any keyset file is accepted with one record per kid, or refused with a reason.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("keyset_file", bytes));
