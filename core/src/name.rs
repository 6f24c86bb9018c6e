//! Names in envelopes: issuer, task type, audience and content type, and sets of names.
//!
//! Names are printable ASCII without space (0x21 to 0x7e) and are compared byte by byte. This keeps look-alike letters,
//! control characters and line breaks out of policies, logs and terminals.

use core::fmt;

/// A text that is not a valid name: empty, too long, or with a character outside 0x21 to 0x7e.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidName;

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name must be printable ASCII without space, within its length limit")
    }
}

impl core::error::Error for InvalidName {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name<'a>(&'a str);

        impl<'a> $name<'a> {
            #[doc = concat!("Maximum length, in characters: ", $max, ".")]
            pub const MAX_LEN: usize = $max;

            /// A placeholder for a name that is still to be decoded.
            #[allow(dead_code)] // Not every kind of name is decoded in place.
            pub(crate) const UNSET: Self = Self("");

            /// Creates a name from a text.
            ///
            /// # Errors
            /// [`InvalidName`] if it is empty, too long or has a character outside 0x21 to 0x7e.
            pub const fn new(text: &'a str) -> Result<Self, InvalidName> {
                if is_name(text, Self::MAX_LEN) { Ok(Self(text)) } else { Err(InvalidName) }
            }

            /// Returns the text.
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
    /// The issuer of a task (`iss`, RFC 8392 section 3.1.1).
    Issuer, 64
}
name! {
    /// The type of a task, for example `email:deliver` (`sub`, RFC 8392 section 3.1.2).
    TaskType, 128
}
name! {
    /// The audience of a task, `deployment/queue`: where it may run (`aud`, RFC 8392 section 3.1.3).
    Audience, 128
}
name! {
    /// The identifier of a task in a queue framework, if it is not the UUID in the task id.
    Reference, 64
}
name! {
    /// The name of a keyset, which is the name of the deployment that uses its keys.
    KeysetName, 64
}

/// The media type of a body, for example `application/json` (COSE header `content type`, RFC 9052 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentType<'a>(&'a str);

impl<'a> ContentType<'a> {
    /// Maximum length, in characters.
    pub const MAX_LEN: usize = 64;
    /// A placeholder for a media type that is still to be decoded.
    pub(crate) const UNSET: Self = Self("");
    /// `application/json`.
    pub const JSON: Self = Self("application/json");
    /// `application/cbor`.
    pub const CBOR: Self = Self("application/cbor");
    /// `application/octet-stream`: bytes of unspecified format.
    pub const OCTETS: Self = Self("application/octet-stream");

    /// Creates a media type from 3 to 64 characters with exactly one `/`, which is not at either end.
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

    /// Returns the text.
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

/// A set of names, written as patterns separated by spaces like an OAuth scope. It borrows the text.
///
/// A pattern is a name, or a prefix followed by `*`, which matches every name with that prefix. `*` alone matches every
/// name. The empty text is the empty set.
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
    /// The set of all names.
    pub const ANY: Self = Self("*");
    /// The empty set.
    pub const NONE: Self = Self("");

    /// Creates the set that `patterns` describes.
    #[must_use]
    pub const fn new(patterns: &'a str) -> Self {
        Self(patterns)
    }

    /// Returns the patterns as one text.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// Returns whether `name` is in the set.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.patterns().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        })
    }

    /// Returns the patterns in the order in which they are written.
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
