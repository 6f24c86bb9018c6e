#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod broker;
pub mod client;
pub mod config;
pub mod escape;
pub mod file_error;
pub mod file_security;
pub mod handler;
pub mod keys;
mod lock;
mod policy;
pub mod quarantine;
pub mod queue;
pub mod replay;
pub mod result;
mod retry;
mod sqlite;
mod stack;
pub mod state;
pub mod task;
pub mod telemetry;
pub mod time;
#[doc(hidden)]
pub mod wiped_buffer;
pub mod worker;

pub use self::client::{Client, ClientSettings, Receipt, SealedTask};
pub use self::config::Config;
pub use self::queue::QueueName;
pub use self::task::Task;
pub use self::worker::{Worker, WorkerBuilder, WorkerParts, WorkerSettings};
