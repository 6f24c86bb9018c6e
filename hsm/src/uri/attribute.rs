//! Values of URI attributes.

use std::ops::RangeInclusive;

use super::error::InvalidUri;

/// Sets an attribute that may occur only once.
pub(super) fn set_once<T>(attribute: &mut Option<T>, value: T) -> Result<(), InvalidUri> {
    if attribute.replace(value).is_some() { Err(InvalidUri::Duplicate) } else { Ok(()) }
}

/// Parses text, which must be UTF-8, not empty and without control characters.
pub(super) fn text(value: Vec<u8>) -> Result<String, InvalidUri> {
    let text = String::from_utf8(value).map_err(|_| InvalidUri::Malformed)?;
    if text.is_empty() || text.chars().any(char::is_control) { Err(InvalidUri::Malformed) } else { Ok(text) }
}

/// Parses a number within `range`. Only the shortest decimal spelling is accepted.
pub(super) fn number(value: &str, range: RangeInclusive<u32>) -> Result<u32, InvalidUri> {
    let number = value.parse().map_err(|_| InvalidUri::Number)?;
    if u32::to_string(&number) == value && range.contains(&number) {
        Ok(number)
    } else {
        Err(InvalidUri::Number)
    }
}
