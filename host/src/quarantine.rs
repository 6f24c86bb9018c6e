//! The quarantine: tasks that a worker refused, kept unchanged until an operator has inspected them.
//!
//! A refused task is never run and never lost: it is archived in its queue only after it is on disk here. Ids, types
//! and issuers that the queue or the sender wrote are stored unverified and unescaped; escape them for display.

#[doc(hidden)]
pub use self::entry::{
    Disposition, Entry, EntryId, Filter, Held, HoldOutcome, MAX_PAYLOAD_LEN, MAX_TASK_ID_LEN, MAX_TEXT_LEN,
    NewEntry,
};
pub use self::store::Quarantine;
#[doc(hidden)]
pub use self::usage::{Limits, Usage};
#[doc(hidden)]
pub use crate::state::{StateError, StateKind};

mod entry;
mod groups;
mod hold;
mod statements;
mod store;
#[cfg(test)]
mod tests;
mod usage;
