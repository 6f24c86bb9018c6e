//! Forms of output: text, JSON, the log and the metrics file.

pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod shell;
pub(crate) mod stderr;
pub(crate) mod text;
