//! Keys of clients and workers that run: what their keyset no longer allows, and what replaces them without a restart.

mod ended;
mod folders;
mod hanging;
mod policy;
mod reload;
mod results;
mod started;
mod time_to_live;
