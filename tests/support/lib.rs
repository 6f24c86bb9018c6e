//! Fixtures of all tests that cross a crate: deployments, servers, tokens, and models to compare with.

pub mod authority;
pub mod conformance;
pub mod documents;
pub mod embedded;
pub mod fake_redis;
pub mod faulty;
pub mod fleet;
pub mod fuzzing;
pub mod keyset;
pub mod model;
pub mod process_memory;
pub mod redis;
mod redis_store;
pub mod rerun;
pub mod signer;
pub mod site;
pub mod snapshot;
pub mod token;
pub mod token_folder;
pub mod vault;

pub use taskseal_vectors::{example, reader as vectors, tree};
