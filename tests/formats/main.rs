//! Formats: envelopes beside other implementations, fuzzing corpora, and what the documents say of the tree.

mod comparison;
mod differential;
mod documents;
mod fuzz_corpus;
mod names;
mod round_trip;
