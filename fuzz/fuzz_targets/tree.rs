//! Every leaf of every tree comes to the root by its own path.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("tree", bytes));
