//! A value with its position in the file, for errors that are found after parsing.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// A value and the offset at which it starts.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    start: usize,
    value: T,
}

impl<T> Spanned<T> {
    /// Returns the offset of the value, in bytes.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    pub(crate) fn get_ref(&self) -> &T {
        &self.value
    }

    pub(crate) fn into_inner(self) -> T {
        self.value
    }

    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { start: self.start, value: convert(self.value) }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    /// Reads a tuple struct, which no TOML file has: for it, the deserializer presents a map from offset to value.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple_struct("Spanned", 2, SpannedVisitor(PhantomData))
    }
}

struct SpannedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SpannedVisitor<T> {
    type Value = Spanned<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its position")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Spanned<T>, A::Error> {
        let start = map.next_key()?.ok_or_else(|| de::Error::missing_field("start"))?;
        Ok(Spanned { start, value: map.next_value()? })
    }
}
