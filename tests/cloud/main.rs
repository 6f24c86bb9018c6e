//! Keys in cloud services: against emulators, and against servers written from the public API documentation.

#![cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, clippy::indexing_slicing)]

use std::time::Duration;

use taskseal_cloud::Timeouts;
use taskseal_tests::contract;

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;

#[cfg(feature = "gcp")]
mod gcp;

/// Limits under which nothing times out.
const PATIENT: Timeouts = Timeouts::new(Duration::from_secs(60), Duration::from_secs(60));

/// Limits under which a silent server is given up, and asked again many times.
const HASTY: Timeouts = Timeouts::new(Duration::from_secs(60), Duration::from_millis(100));

/// Limits under which a call that is not answered is attempted once.
const BRIEF: Timeouts = Timeouts::new(Duration::from_secs(3), Duration::from_secs(3));
