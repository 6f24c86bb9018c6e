//! The test vectors of the formats: what writes the files, what reads them and judges by them, and the keys
//! and claims of the examples.
//!
//! `cargo run -p taskseal-vectors` writes every file; the tests of this package compare them with what it would
//! write, and put each of them to the test.

pub mod cose;
pub mod example;
pub mod generate;
pub mod keysets;
pub mod merkle;
pub mod reader;
pub mod tree;
