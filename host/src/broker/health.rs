//! What a broker reports about itself, besides its queues.

/// Whether a broker deletes tasks on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// It stores what it has room for, and refuses the rest.
    #[default]
    Never,
    /// It deletes tasks when its memory is full, by this policy.
    Policy(String),
    /// It does not report its policy, for this reason.
    Unknown(String),
}
