//! The states of a key, what each allows, and which may follow which.

use core::fmt;

/// What a key may be used for (SP 800-57 part 1, section 7, with names of practice).
///
/// | state | seals | is accepted |
/// | --- | --- | --- |
/// | staged | no | yes |
/// | primary | yes | yes |
/// | retiring | no | yes |
/// | disabled, destroyed, compromised | no | no |
///
/// ```cddl
/// state = 0 / 1 / 2 / 3 / 4 / 5
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// Distributed so that every verifier knows it before anybody seals with it.
    Staged,
    /// In use.
    Primary,
    /// No longer in use; what was sealed with it is accepted for a while.
    Retiring,
    /// Out of use; may come back.
    Disabled,
    /// Gone for good; only its kid is left, so that nobody takes it for another key.
    Destroyed,
    /// Known or suspected to be in other hands. Nothing sealed with it is accepted, whenever it was sealed.
    Compromised,
}

impl KeyState {
    /// Every state, in the order of their numbers on the wire.
    pub const ALL: [Self; 6] =
        [Self::Staged, Self::Primary, Self::Retiring, Self::Disabled, Self::Destroyed, Self::Compromised];

    /// The name: one lower-case word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Primary => "primary",
            Self::Retiring => "retiring",
            Self::Disabled => "disabled",
            Self::Destroyed => "destroyed",
            Self::Compromised => "compromised",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a key in this state may sign, authenticate or be encrypted to.
    #[must_use]
    pub const fn seals(self) -> bool {
        matches!(self, Self::Primary)
    }

    /// Whether what was sealed with a key in this state is accepted and decrypted.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Staged | Self::Primary | Self::Retiring)
    }

    /// Whether a key in this state may be in the state `next` in the keyset after.
    ///
    /// A key that is accepted is disabled before it is destroyed; nothing leads back from `compromised` but to
    /// `destroyed`, and nothing at all from there. A promotion can be called off: `retiring` to `primary`.
    #[must_use]
    pub const fn can_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Destroyed, _) => matches!(next, Self::Destroyed),
            (Self::Compromised, _) => matches!(next, Self::Compromised | Self::Destroyed),
            (_, Self::Compromised | Self::Disabled) => true,
            (Self::Disabled, _) => true,
            (Self::Staged, _) => matches!(next, Self::Staged | Self::Primary),
            (Self::Primary | Self::Retiring, _) => matches!(next, Self::Primary | Self::Retiring),
        }
    }

    pub(super) const fn code(self) -> u64 {
        match self {
            Self::Staged => 0,
            Self::Primary => 1,
            Self::Retiring => 2,
            Self::Disabled => 3,
            Self::Destroyed => 4,
            Self::Compromised => 5,
        }
    }

    pub(super) fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
