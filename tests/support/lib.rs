//! Fixtures shared by the tests: a private Redis, scratch folders, raw access to a queue.

pub mod example;
pub mod tree;
pub mod vectors;
