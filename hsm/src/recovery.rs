//! Recovery of lost sessions, logins, devices and libraries.

pub(crate) mod classify;
pub(crate) mod retry;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod supervisor;
