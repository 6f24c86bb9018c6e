//! Every accepted CBOR item has one encoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskseal_tests::fuzzing::run("cbor", bytes));
