//! Bounds of the statuses that processes publish. What a broker returns is not trusted: a status is signed.

/// Maximum size of a status, in bytes. A longer one is not returned.
pub const MAX_STATUS: usize = 8192;

/// Maximum number of statuses that are returned.
pub const MAX_STATUSES: usize = 4096;
