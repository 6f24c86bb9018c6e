//! Fixtures shared by the tests: a private Redis, scratch folders, raw access to a queue.

pub mod redis;
pub mod snapshot;
