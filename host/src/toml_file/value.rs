//! Deserializes parsed TOML values. `toml` has several deserializers, and each compiles every type of the file again; this is
//! one.

use std::fmt::Display;
use std::vec;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use toml::de::{DeInteger, DeString, DeTable, DeValue};
use toml::{Spanned, map};

use super::invalid;

/// Reads the table of a whole file.
pub(super) fn read<T: DeserializeOwned>(table: Spanned<DeTable<'_>>) -> Result<T, ValueError> {
    let span = table.span();
    let value = Spanned::new(span.clone(), DeValue::Table(table.into_inner()));
    T::deserialize(Value(value)).map_err(|error| error.or_at(span.start))
}

/// Why a value cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct ValueError {
    pub(super) message: String,
    /// Offset of the value or key, in bytes.
    pub(super) at: Option<usize>,
}

impl ValueError {
    fn or_at(mut self, start: usize) -> Self {
        self.at = self.at.or(Some(start));
        self
    }
}

impl de::Error for ValueError {
    fn custom<T: Display>(message: T) -> Self {
        Self { message: message.to_string(), at: None }
    }
}

/// A value and its position.
struct Value<'de>(Spanned<DeValue<'de>>);

/// Returns the error of a value that has another type than expected.
fn mismatch(found: &DeValue<'_>, expected: &dyn Expected) -> ValueError {
    let found = match found {
        DeValue::String(text) => Unexpected::Str(text),
        DeValue::Integer(number) => signed(number).map_or(Unexpected::Other("integer"), Unexpected::Signed),
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Unexpected::Other("floating point"), Unexpected::Float)
        }
        DeValue::Boolean(value) => Unexpected::Bool(*value),
        DeValue::Datetime(_) => Unexpected::Other("datetime"),
        DeValue::Array(_) => Unexpected::Seq,
        DeValue::Table(_) => Unexpected::Map,
    };
    de::Error::invalid_type(found, expected)
}

fn signed(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.get_ref() {
            DeValue::String(_) => self.deserialize_str(visitor),
            DeValue::Integer(_) => self.deserialize_i64(visitor),
            DeValue::Boolean(_) => self.deserialize_bool(visitor),
            DeValue::Array(_) => self.deserialize_seq(visitor),
            DeValue::Table(_) => self.deserialize_map(visitor),
            other @ (DeValue::Float(_) | DeValue::Datetime(_)) => Err(mismatch(other, &visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.get_ref() {
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            other => Err(mismatch(other, &visitor)),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.get_ref() {
            DeValue::Integer(number) => match signed(number) {
                Some(number) => visitor.visit_i64(number),
                None => Err(invalid(
                    format_args!("{number} is out of range"),
                    "write a whole number of at most 64 bits, with its sign",
                )),
            },
            other => Err(mismatch(other, &visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            other => Err(mismatch(other, &visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_enum(StrDeserializer::new(text)),
            other => Err(mismatch(other, &"a string")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.into_inner() {
            DeValue::Array(values) => visitor.visit_seq(Elements(values.into_iter())),
            other => Err(mismatch(&other, &visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.into_inner() {
            DeValue::Table(table) => visitor.visit_map(Fields { rest: table.into_iter(), value: None }),
            other => Err(mismatch(&other, &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_map(visitor)
    }

    /// Presents a map from offset to value, for [`Spanned`](super::Spanned).
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_map(OffsetAndValue(Some(self.0)))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple identifier
        ignored_any
    }
}

/// Reads a value. An error without a position gets that of the value.
fn read_at<'de, T: DeserializeSeed<'de>>(
    seed: T,
    value: Spanned<DeValue<'de>>,
) -> Result<T::Value, ValueError> {
    let start = value.span().start;
    seed.deserialize(Value(value)).map_err(|error| error.or_at(start))
}

/// The elements of an array.
struct Elements<'de>(vec::IntoIter<Spanned<DeValue<'de>>>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        self.0.next().map(|value| read_at(seed, value)).transpose()
    }
}

/// The fields of a table.
struct Fields<'de> {
    rest: map::IntoIter<Spanned<DeString<'de>>, Spanned<DeValue<'de>>>,
    /// The value of the field whose name was read.
    value: Option<Spanned<DeValue<'de>>>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        let name = StrDeserializer::new(key.get_ref());
        seed.deserialize(name).map(Some).map_err(|error: ValueError| error.or_at(key.span().start))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let value = self.value.take().expect("serde reads the name before the value");
        read_at(seed, value)
    }
}

/// One entry: the offset of a value, and the value.
struct OffsetAndValue<'de>(Option<Spanned<DeValue<'de>>>);

impl<'de> MapAccess<'de> for OffsetAndValue<'de> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some(value) = &self.0 else { return Ok(None) };
        seed.deserialize(value.span().start.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let value = self.0.take().expect("serde reads the offset before the value");
        read_at(seed, value)
    }
}
