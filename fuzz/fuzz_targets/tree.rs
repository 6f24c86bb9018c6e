//! Every leaf of every tree reaches the root by its path.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("tree", bytes));
