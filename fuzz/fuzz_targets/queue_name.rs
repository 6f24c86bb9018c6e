//! An accepted queue name cannot leave the braces of a Redis key.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("queue_name", bytes));
