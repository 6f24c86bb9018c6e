//! Suites, sets of suites, and kinds of envelopes.

use core::fmt;

/// The protection of an envelope. A key has one purpose; a policy names the suites that it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// COSE_Sign1 with ES256: signed, not encrypted.
    S,
    /// COSE_Mac0 with HMAC 256/256: authenticated with a shared key, not encrypted.
    M,
    /// COSE_Encrypt0 with A256GCM: authenticated and encrypted with a shared key.
    E,
    /// COSE_Sign1 around COSE_Encrypt0: encrypted with a shared key, then signed.
    Se,
    /// COSE_Sign1 around COSE_Encrypt: encrypted to a P-256 public key by ECDH-ES + HKDF-256, then signed.
    Sp,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 5] = [Self::S, Self::M, Self::E, Self::Se, Self::Sp];

    /// Returns the name in words: `sign`, `mac`, `encrypt`, `sign-encrypt` or `sign-encrypt-to`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::S => "sign",
            Self::M => "mac",
            Self::E => "encrypt",
            Self::Se => "sign-encrypt",
            Self::Sp => "sign-encrypt-to",
        }
    }

    /// Returns the short name, which programs print and the specification uses: `S`, `M`, `E`, `SE` or `SP`.
    #[must_use]
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::M => "M",
            Self::E => "E",
            Self::Se => "SE",
            Self::Sp => "SP",
        }
    }

    /// Returns the suite with this [`name`](Self::name) or [`short_name`](Self::short_name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name || suite.short_name() == name)
    }

    /// Returns whether the body is encrypted.
    #[must_use]
    pub const fn encrypts(self) -> bool {
        match self {
            Self::S | Self::M => false,
            Self::E | Self::Se | Self::Sp => true,
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::S => 1,
            Self::M => 2,
            Self::E => 4,
            Self::Se => 8,
            Self::Sp => 16,
        }
    }
}

/// Writes the short name.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())
    }
}

/// A set of suites.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SuiteSet(u8);

impl SuiteSet {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// The suites that sign and encrypt: SE and SP.
    pub const SIGNED_AND_ENCRYPTED: Self = Self::NONE.with(Suite::Se).with(Suite::Sp);

    /// Returns this set with `suite` added.
    #[must_use]
    pub const fn with(self, suite: Suite) -> Self {
        Self(self.0 | suite.bit())
    }

    /// Returns whether `suite` is in the set.
    #[must_use]
    pub const fn contains(self, suite: Suite) -> bool {
        self.0 & suite.bit() != 0
    }
}

impl fmt::Debug for SuiteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Suite::ALL.into_iter().filter(|suite| self.contains(*suite))).finish()
    }
}

/// The kind of an envelope, encoded as `typ` (RFC 9596), so that a task is never accepted as a result or a result as a
/// task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A task: sealed by a producer, run by a worker.
    Task,
    /// The result of a task: sealed by a worker, bound to its request.
    Result,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Task, Self::Result];

    /// Returns the media type in the `typ` header.
    #[must_use]
    pub const fn typ(self) -> &'static str {
        match self {
            Self::Task => "application/vnd.taskseal.v1+cose",
            Self::Result => "application/vnd.taskseal.result.v1+cose",
        }
    }
}

#[cfg(test)]
mod tests;
