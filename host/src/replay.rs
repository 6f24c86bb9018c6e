//! The replay ledger: which tasks ran, are running or may run again, stored out of reach of the queue.
//!
//! A queue delivers the same sealed bytes again for legal reasons (a retry, a lost worker, an operator) and for illegal
//! ones (an attacker with write access kept a copy). The signature cannot distinguish them; the ledger can. A worker calls
//! [`Ledger::acquire`] for every verified task before it runs and reports how the run ended. A task, identified by issuer
//! and task id, has one of these states:
//!
//! ```text
//!           acquire               finish                settled
//! (unknown) ───────▶ locked ────────────────▶ finished ─────────▶ done ──▶ (forgotten by sweep)
//!                     │   ▲
//!            release, │   │ acquire
//!          give_back  ▼   │
//!                    waiting
//! ```
//!
//! An attempt counts from `acquire`. An attempt whose loss would end the task counts from [`Ledger::begin`]: the worker may be lost
//! while the task waits for a handler.
//!
//! A failed call is an error, and a worker that gets an error runs nothing.

pub use self::decision::{Decision, LedgerRefusal};
pub use self::ledger::{Ledger, LedgerStats};
#[doc(hidden)]
pub use self::ledger::{MAX_OUTCOME_LEN, OUTCOME_MARGIN, SWEEP_MARGIN};
pub use self::query::{ReplayQuery, TaskKey};
pub use self::sqlite::SqliteLedger;
#[doc(hidden)]
pub use self::sqlite::{Recorded, RecordedState};
#[doc(hidden)]
pub use crate::state::{StateError, StateKind};

mod decision;
pub(crate) mod judge;
mod ledger;
mod query;
mod sqlite;
#[cfg(test)]
mod tests;
