//! Attackers who can write to the queue: what the worker refuses, and that no task runs twice.

mod attacks;
mod audit;
mod batches;
mod confidential;
mod detached;
mod floods;
mod keyset;
mod ledger;
mod ledger_model;
mod modes;
mod postponed;
mod replay_while_keys_stall;
mod rules;
