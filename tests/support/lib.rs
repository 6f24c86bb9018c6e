//! Fixtures of all tests that cross a crate: deployments, servers, tokens, and models to compare with.

pub mod authority;
pub mod azure;
pub mod conformance;
pub mod contract;
pub mod documents;
pub mod embedded;
pub mod fake_redis;
pub mod faulty;
pub mod fleet;
pub mod fuzzing;
pub mod google;
pub mod keyset;
pub mod ministack;
pub mod model;
pub mod process_memory;
pub mod redis;
mod redis_store;
pub mod rerun;
pub mod signer;
pub mod site;
pub mod snapshot;
mod tls;
pub mod token;
pub mod token_folder;
pub mod vault;
pub mod web_server;

pub use taskseal_vectors::{example, reader as vectors, tree};
