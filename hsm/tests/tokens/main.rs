//! Tests with real tokens: SoftHSM, and kryoptic where `TASKSEAL_KRYOPTIC` names its library.
//!
//! A PKCS#11 library is initialised once per process and reads its configuration from the environment, which a process
//! cannot change safely. So each test starts this program again, for itself, with a private folder and configuration.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod agreements;
mod concurrency;
mod hangs;
mod key_changes;
mod key_checks;
mod keys;
mod lifecycle;
mod logins;
mod losses;
mod opening;
mod p11_kit;
mod pins;
mod support;
mod symmetric_keys;
mod throughput;
mod wrong_results;
