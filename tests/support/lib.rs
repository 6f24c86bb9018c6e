//! Fixtures shared by the tests: a private Redis, scratch folders, raw access to a queue.

pub mod conformance;
pub mod embedded;
pub mod example;
pub mod faulty;
pub mod fleet;
pub mod fuzzing;
pub mod model;
pub mod redis;
mod redis_store;
pub mod snapshot;
pub mod tree;
pub mod vectors;
