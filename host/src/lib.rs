//! Task queues whose broker need not be trusted.
#![forbid(unsafe_code)]

pub mod broker;
pub mod ledger;
pub mod config;
pub mod escape;
pub mod file_error;
pub mod keyring;
pub mod message;
pub mod quarantine;
pub mod queue;
mod sqlite;
pub mod secret_file;
pub mod time;
