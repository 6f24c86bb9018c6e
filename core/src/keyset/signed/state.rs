//! The states of a key, the uses that they allow, and the allowed transitions.

use core::fmt;

/// The state of a key (SP 800-57 part 1, section 7).
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
    /// Distributed to verifiers before it is used to seal.
    Staged,
    /// In use.
    Primary,
    /// No longer in use. Envelopes sealed with it are accepted until `accept_until`.
    Retiring,
    /// Out of use, temporarily or permanently.
    Disabled,
    /// Permanently removed. Only the kid remains, so that it cannot be assigned to another key.
    Destroyed,
    /// Known or suspected to be disclosed. Envelopes sealed with it are refused, regardless of their time.
    Compromised,
}

impl KeyState {
    /// Every state, in the order of their numbers on the wire.
    pub const ALL: [Self; 6] =
        [Self::Staged, Self::Primary, Self::Retiring, Self::Disabled, Self::Destroyed, Self::Compromised];

    /// Returns the name, one lower-case word.
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

    /// Returns the state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Returns whether a key in this state may sign, authenticate or be encrypted to.
    #[must_use]
    pub const fn seals(self) -> bool {
        matches!(self, Self::Primary)
    }

    /// Returns whether envelopes sealed with a key in this state are accepted and decrypted.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Staged | Self::Primary | Self::Retiring)
    }

    /// Returns whether a key in this state may have the state `next` in the next keyset.
    ///
    /// An accepted key is disabled before it is destroyed. The only transition from `compromised` leads to `destroyed`,
    /// which is final. A rotation can be reverted: `retiring` to `primary`.
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
