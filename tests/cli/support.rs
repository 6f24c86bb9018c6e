//! Fixtures that need the program itself. All others are in `tests/support`.

pub(crate) mod brokers;
pub(crate) mod keygen;
pub(crate) mod keyset;
pub(crate) mod notify;
pub(crate) mod program;
pub(crate) mod project;
pub(crate) mod queue;
pub(crate) mod token;
