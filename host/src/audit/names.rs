//! Names of the lines that the log writes about itself.

/// The first line of a log.
pub(super) const CREATED: &str = "log-created";
/// The first line of a file after a rotation.
pub(super) const CONTINUED: &str = "log-continued";
/// A crash has cut a line.
pub(super) const CUT: &str = "line-cut";
/// Lines that this process knows are no longer in the log.
pub(super) const LINES_MISSING: &str = "lines-missing";
/// A signed checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";
