//! Values of URI attributes.

use std::ops::RangeInclusive;

use super::error::InvalidUri;

/// Returns the error of an attribute without a name.
pub(super) const fn malformed() -> InvalidUri {
    InvalidUri::Malformed(String::new())
}

/// Sets an attribute that may occur only once.
pub(super) fn set_once<T>(attribute: &mut Option<T>, value: T) -> Result<(), InvalidUri> {
    if attribute.replace(value).is_some() { Err(InvalidUri::Duplicate(String::new())) } else { Ok(()) }
}

/// Parses text, which must be UTF-8, not empty and without control characters.
pub(super) fn text(value: Vec<u8>) -> Result<String, InvalidUri> {
    let text = String::from_utf8(value).map_err(|_| malformed())?;
    if text.is_empty() || text.chars().any(char::is_control) { Err(malformed()) } else { Ok(text) }
}

/// Parses a number within `range`. Only the shortest decimal spelling is accepted.
pub(super) fn number(value: &str, range: RangeInclusive<u32>) -> Result<u32, InvalidUri> {
    let number = value.parse().map_err(|_| InvalidUri::Number(String::new()))?;
    if u32::to_string(&number) == value && range.contains(&number) {
        Ok(number)
    } else {
        Err(InvalidUri::Number(String::new()))
    }
}
