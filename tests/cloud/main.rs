//! Keys in cloud services: against emulators, and against servers written from the public API documentation.

#![allow(clippy::unwrap_used, clippy::unwrap_in_result, clippy::indexing_slicing)]

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod contract;
