//! Task queues whose broker need not be trusted.
#![forbid(unsafe_code)]

pub mod broker;
pub mod ledger;
pub mod message;
pub mod quarantine;
pub mod queue;
mod sqlite;
pub mod time;
