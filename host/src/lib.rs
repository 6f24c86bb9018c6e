#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
// Without the feature, what only the program and the tests use is private.
#![cfg_attr(not(feature = "internal"), allow(dead_code, unreachable_pub, unused_imports, unnameable_types))]

pub mod broker;
pub mod config;
pub mod handler;
pub mod keys;
pub mod quarantine;
pub mod replay;

mod file_watch;
mod lock;
mod retry;
mod runtime;
mod sqlite;
mod stack;
mod toml_file;

#[cfg(not(feature = "internal"))]
mod audit;
#[cfg(not(feature = "internal"))]
mod client;
#[cfg(not(feature = "internal"))]
mod escape;
#[cfg(not(feature = "internal"))]
mod file_error;
#[cfg(not(feature = "internal"))]
mod file_security;
#[cfg(not(feature = "internal"))]
mod fleet;
#[cfg(not(feature = "internal"))]
mod policy;
#[cfg(not(feature = "internal"))]
mod queue;
#[cfg(not(feature = "internal"))]
mod result;
#[cfg(not(feature = "internal"))]
mod rollout;
#[cfg(not(feature = "internal"))]
mod small_map;
#[cfg(not(feature = "internal"))]
mod state;
#[cfg(not(feature = "internal"))]
mod task;
#[cfg(not(feature = "internal"))]
mod telemetry;
#[cfg(not(feature = "internal"))]
mod time;
#[cfg(not(feature = "internal"))]
mod wiped_buffer;
#[cfg(not(feature = "internal"))]
mod worker;

#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod audit;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod client;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod escape;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod file_error;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod file_security;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod fleet;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod policy;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod queue;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod result;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod rollout;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod small_map;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod state;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod task;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod telemetry;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod time;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod wiped_buffer;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod worker;

// What the methods of this crate take and return.
#[doc(no_inline)]
pub use taskseal_core::{ContentType, Suite, SuiteSet, TaskId, TaskType};

#[doc(inline)]
pub use self::client::{Client, ClientError, ClientSettings, Receipt, SealedTask, WaitOutcome};
#[doc(no_inline)]
pub use self::config::{Config, SetupError};
#[doc(inline)]
pub use self::file_error::FileError;
#[doc(inline)]
pub use self::policy::PolicySettings;
#[doc(inline)]
pub use self::queue::{InvalidQueueName, QueueName};
#[doc(inline)]
pub use self::result::TaskResult;
#[doc(inline)]
pub use self::state::StateError;
#[doc(inline)]
pub use self::task::{InvalidTask, Task};
#[doc(hidden)]
pub use self::worker::WorkerParts;
#[doc(inline)]
pub use self::worker::{Event, Tally, Worker, WorkerBuilder, WorkerQueue, WorkerSettings};
