//! Processes that use an older keyset than the last signed one.

/// A running process and the keyset that it uses.
pub(super) struct LaggingProcess {
    pub(super) name: String,
    pub(super) sequence: u64,
}

/// Returns the running processes that are known to use a keyset older than `sequence`. None are known yet: processes do not report
/// the keyset that they use.
pub(super) fn fleet_lag(_sequence: u64) -> Vec<LaggingProcess> {
    Vec::new()
}
