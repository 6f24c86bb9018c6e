//! The modes in which a task type is brought from unsealed to sealed tasks.

use std::fmt;

/// Whether unsealed tasks of a type run. A later mode is stricter. A sealed task is verified in every mode, and does not run if it
/// is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Mode {
    /// They run, and nothing is counted.
    Off,
    /// They run, and are counted and named.
    Observe,
    /// As [`Observe`](Self::Observe) until a sealed task of this type has been accepted from the same queue. From then on they are
    /// refused there.
    Prefer,
    /// They are refused.
    #[default]
    Enforce,
}

impl Mode {
    /// Every mode, from the loosest to the strictest.
    pub const ALL: [Self; 4] = [Self::Off, Self::Observe, Self::Prefer, Self::Enforce];

    /// Returns the name in a policy file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Prefer => "prefer",
            Self::Enforce => "enforce",
        }
    }

    /// Returns the mode with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
