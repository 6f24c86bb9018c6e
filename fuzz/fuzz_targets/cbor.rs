//! Every CBOR item that is accepted has one spelling.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("cbor", bytes));
