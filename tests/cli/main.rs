//! The program `taskseal`: output, exit codes, and whole deployments that are run by its commands.

mod batches;
mod check;
mod demo;
mod device;
mod documents;
mod enqueue;
mod handlers;
mod key;
mod keygen;
mod ledger;
mod log;
mod metrics;
mod operate;
mod output;
mod quarantine;
mod queue;
mod queue_file;
mod redis_tls;
mod release;
mod start;
mod support;
mod tokens;
mod unavailable_keys;
mod waiting;
mod worker;
mod wrapped_keys;
