//! Small implementation of the arithmetic, for microcontrollers: the same results as `general`, with less stack and
//! code.
//!
//! Builds for bare metal and with `--cfg taskseal_small` use it.

pub(super) mod gcm;

mod es256;
mod sign;

#[cfg(any(target_os = "none", taskseal_small))]
pub(super) use self::{es256::verify, sign::sign};
