//! Recovery of lost sessions, logins, devices and libraries.

pub(crate) mod classify;
pub(crate) mod state;
pub(crate) mod supervisor;
