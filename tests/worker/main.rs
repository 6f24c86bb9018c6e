//! Client, worker and broker together: what happens to a task from `enqueue` to its result.

mod crash;
mod faults;
mod few_threads;
mod fleet;
mod killed_while_waiting;
mod long_outage;
mod lost_leases;
mod memory;
mod program_handler;
mod queue_limits;
mod result_recipients;
mod results;
mod run_again;
mod sign_batches;
mod tasks;
mod throughput;
mod wait;
