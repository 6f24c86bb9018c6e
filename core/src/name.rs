//! Names that travel in the seal: issuer, task type, audience, content type; and sets of them.
//!
//! All are printable ASCII without space (0x21 to 0x7e), compared byte by byte. That keeps look-alike
//! letters, control characters and line breaks out of policies, logs and terminals.

use core::fmt;

/// A text that is no valid name: empty, too long, or with a character outside 0x21 to 0x7e.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidName;

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name is printable ASCII without space, within its length limit")
    }
}

impl core::error::Error for InvalidName {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name<'a>(&'a str);

        impl<'a> $name<'a> {
            #[doc = concat!("Most characters: ", $max, ".")]
            pub const MAX_LEN: usize = $max;

            /// No name, in the place of one that is still to be decoded.
            #[allow(dead_code)] // Not every kind of name is decoded in place.
            pub(crate) const UNSET: Self = Self("");

            /// Checks a text.
            ///
            /// # Errors
            /// [`InvalidName`] if it is empty, too long or has a character outside 0x21 to 0x7e.
            pub const fn new(text: &'a str) -> Result<Self, InvalidName> {
                if is_name(text, Self::MAX_LEN) { Ok(Self(text)) } else { Err(InvalidName) }
            }

            /// The text.
            #[must_use]
            pub const fn as_str(&self) -> &'a str {
                self.0
            }
        }

        impl fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.0, f)
            }
        }
    };
}

name! {
    /// Who made a task (`iss`, RFC 8392 section 3.1.1).
    Issuer, 64
}
name! {
    /// What kind of task it is, for example `email:deliver` (`sub`, RFC 8392 section 3.1.2).
    TaskType, 128
}
name! {
    /// Where a task may run: `deployment/queue` (`aud`, RFC 8392 section 3.1.3).
    Audience, 128
}
name! {
    /// The id that a framework gave a task when it is not the UUID in the task id.
    Reference, 64
}
name! {
    /// Which keyset it is: the name of the deployment that its keys belong to.
    KeysetName, 64
}

/// The media type of a body, for example `application/json` (COSE header `content type`, RFC 9052 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentType<'a>(&'a str);

impl<'a> ContentType<'a> {
    /// Most characters.
    pub const MAX_LEN: usize = 64;
    /// None, in the place of one that is still to be decoded.
    pub(crate) const UNSET: Self = Self("");
    /// `application/json`.
    pub const JSON: Self = Self("application/json");
    /// `application/cbor`.
    pub const CBOR: Self = Self("application/cbor");
    /// `application/octet-stream`: bytes of no declared meaning.
    pub const OCTETS: Self = Self("application/octet-stream");

    /// Checks a text: 3 to 64 characters with exactly one `/`, not at either end.
    ///
    /// # Errors
    /// [`InvalidName`] for anything else.
    pub const fn new(text: &'a str) -> Result<Self, InvalidName> {
        let bytes = text.as_bytes();
        let mut slashes = 0;
        let mut rest = bytes;
        while let [byte, tail @ ..] = rest {
            if *byte == b'/' {
                slashes += 1;
            }
            rest = tail;
        }
        if !is_name(text, Self::MAX_LEN) || slashes != 1 || matches!(bytes, [b'/', ..] | [.., b'/']) {
            return Err(InvalidName);
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Display for ContentType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for ContentType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

const fn is_name(text: &str, max: usize) -> bool {
    let mut rest = text.as_bytes();
    if rest.is_empty() || rest.len() > max {
        return false;
    }
    while let [byte, tail @ ..] = rest {
        if !matches!(*byte, 0x21..=0x7e) {
            return false;
        }
        rest = tail;
    }
    true
}

/// A set of names: patterns separated by spaces, like an OAuth scope. Needs no memory of its own.
///
/// A pattern is a name, or a name ending in `*`, which then stands for every name with that beginning; `*`
/// alone stands for all names. The empty text is the empty set.
///
/// ```
/// # use taskseal_core::NameSet;
/// let types = NameSet::new("email:* report:build");
/// assert!(types.contains("email:deliver"));
/// assert!(!types.contains("report:build:all"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameSet<'a>(&'a str);

impl<'a> NameSet<'a> {
    /// Every name.
    pub const ANY: Self = Self("*");
    /// No name.
    pub const NONE: Self = Self("");

    /// The set written as `patterns`.
    #[must_use]
    pub const fn new(patterns: &'a str) -> Self {
        Self(patterns)
    }

    /// The set as written.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// Whether `name` is in the set.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.patterns().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        })
    }

    /// The patterns, in the order written.
    pub fn patterns(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.split(' ').filter(|pattern| !pattern.is_empty())
    }
}

impl fmt::Display for NameSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests;
