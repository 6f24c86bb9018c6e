//! Cryptography in the memory of a microcontroller: the results of [`general`](super), with less stack and less code.
//!
//! Builds for bare metal use it, and so does `--cfg taskseal_small`.

pub(super) mod gcm;

mod es256;
mod sign;

#[cfg(any(target_os = "none", taskseal_small))]
pub(super) use self::{es256::verify, sign::sign};
