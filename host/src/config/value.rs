//! Values of the configuration file: durations, sizes, counts and names, each with its range.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use taskseal_core::{Suite, SuiteSet};

use super::context::Context;
use crate::file_error::FileError;
use crate::queue::QueueName;
use crate::retry::Backoff;
use crate::time::{UNITS, parse_duration};
use crate::toml_file::{Spanned, invalid};

pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const WEEK: u64 = 7 * DAY;
pub(crate) const YEAR: u64 = 365 * DAY;

/// Reads a string, and says of anything else what was expected.
struct Text(&'static str);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

/// A duration of `MIN` to `MAX` seconds, written as a whole number and a unit: `"5s"`, `"10m"`, `"24h"`, `"7d"`.
#[derive(Clone, Copy)]
pub(crate) struct Seconds<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> From<Seconds<MIN, MAX>> for Duration {
    fn from(seconds: Seconds<MIN, MAX>) -> Self {
        Self::from_secs(seconds.0)
    }
}

/// Returns the delays of the fields `NAME_first` and `NAME_longest`, each by default as in `default`.
pub(super) fn backoff<const FIRST: u64, const LONGEST: u64>(
    context: &Context<'_>,
    name: &str,
    default: Backoff,
    first: Option<Seconds<1, FIRST>>,
    longest: Option<Spanned<Seconds<1, LONGEST>>>,
) -> Result<Backoff, FileError> {
    let first = first.map_or(default.first, Duration::from);
    let Some(longest) = longest else { return Ok(Backoff::new(first, default.longest)) };
    let value = Duration::from(*longest.get_ref());
    if value < first {
        let message = format!("`{name}_longest` is shorter than `{name}_first`");
        let hint =
            format!("raise `{name}_longest`, or lower `{name}_first`, which is {} s here", first.as_secs());
        return Err(context.fault(&longest, message, hint));
    }
    Ok(Backoff::new(first, value))
}

/// Reads a duration of `MIN` to `MAX` seconds into a field.
pub(crate) fn seconds<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    Seconds::<MIN, MAX>::deserialize(deserializer).map(Duration::from)
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Seconds<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_seconds(deserializer, MIN..=MAX).map(Self)
    }
}

fn read_seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: RangeInclusive<u64>,
) -> Result<u64, D::Error> {
    let text = deserializer.deserialize_str(Text("a duration in quotes, such as \"30s\" or \"24h\""))?;
    let Some(seconds) = parse_seconds(&text) else {
        return Err(invalid(
            format_args!("`{}` is not a duration", text.escape_default()),
            "write a whole number and a unit: \"30s\", \"10m\", \"24h\" or \"7d\"",
        ));
    };
    if !range.contains(&seconds) {
        let (least, most) = (show_seconds(*range.start()), show_seconds(*range.end()));
        return Err(invalid(
            format_args!("{} is out of range", show_seconds(seconds)),
            format_args!("from {least} to {most}"),
        ));
    }
    Ok(seconds)
}

fn parse_seconds(text: &str) -> Option<u64> {
    parse_duration(text).map(|duration| duration.as_secs())
}

fn show_seconds(seconds: u64) -> String {
    let whole = |factor: &u64| seconds != 0 && seconds.is_multiple_of(*factor);
    let (unit, factor) = UNITS.into_iter().rev().find(|(_, factor)| whole(factor)).unwrap_or(("s", 1));
    format!("\"{}{unit}\"", seconds / factor)
}

/// A number of bytes from `MIN` to `MAX`, written with a unit: `"64KiB"`, `"1MiB"`, `"512B"`.
#[derive(Clone, Copy)]
pub(crate) struct Size<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Size<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_size(deserializer, MIN..=MAX).map(Self)
    }
}

fn read_size<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: RangeInclusive<u64>,
) -> Result<u64, D::Error> {
    let text = deserializer.deserialize_str(Text("a size in quotes, such as \"64KiB\" or \"1MiB\""))?;
    let Some(bytes) = parse_bytes(&text) else {
        return Err(invalid(
            format_args!("`{}` is not a size", text.escape_default()),
            "write a whole number and a unit: \"512B\", \"64KiB\", \"1MiB\" or \"2GiB\"",
        ));
    };
    if !range.contains(&bytes) {
        let (least, most) = (show_bytes(*range.start()), show_bytes(*range.end()));
        return Err(invalid(
            format_args!("{bytes} bytes are out of range"),
            format_args!("from {least} to {most}"),
        ));
    }
    Ok(bytes)
}

impl<const MIN: u64, const MAX: u64> From<Size<MIN, MAX>> for usize {
    fn from(size: Size<MIN, MAX>) -> Self {
        Self::try_from(size.0).unwrap_or(Self::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> From<Size<MIN, MAX>> for u64 {
    fn from(size: Size<MIN, MAX>) -> Self {
        size.0
    }
}

/// Reads a size of 1 to `MAX` bytes into a field.
pub(crate) fn size<'de, D: Deserializer<'de>, const MAX: u64>(deserializer: D) -> Result<usize, D::Error> {
    Size::<1, MAX>::deserialize(deserializer).map(usize::from)
}

/// Units of sizes, and their numbers of bytes.
const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

fn parse_bytes(text: &str) -> Option<u64> {
    let (digits, unit) = split_unit(text)?;
    let (_, factor) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    digits.checked_mul(factor)
}

fn show_bytes(bytes: u64) -> String {
    let whole = |factor: &u64| bytes != 0 && bytes.is_multiple_of(*factor);
    let (unit, factor) = SIZE_UNITS.into_iter().rev().find(|(_, factor)| whole(factor)).unwrap_or(("B", 1));
    format!("\"{}{unit}\"", bytes / factor)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at_checked(digits)?;
    Some((digits.parse().ok()?, unit))
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy)]
pub(crate) struct Count<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_count(deserializer, MIN..=MAX).map(Self)
    }
}

fn read_count<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: RangeInclusive<u64>,
) -> Result<u64, D::Error> {
    let count = i64::deserialize(deserializer)?;
    u64::try_from(count).ok().filter(|count| range.contains(count)).ok_or_else(|| {
        invalid(
            format_args!("{count} is out of range"),
            format_args!("from {} to {}", range.start(), range.end()),
        )
    })
}

impl<const MIN: u64, const MAX: u64> From<Count<MIN, MAX>> for u64 {
    fn from(count: Count<MIN, MAX>) -> Self {
        count.0
    }
}

impl<const MIN: u64, const MAX: u64> From<Count<MIN, MAX>> for usize {
    fn from(count: Count<MIN, MAX>) -> Self {
        Self::try_from(count.0).unwrap_or(Self::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> From<Count<MIN, MAX>> for u32 {
    fn from(count: Count<MIN, MAX>) -> Self {
        Self::try_from(count.0).unwrap_or(Self::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> From<Count<MIN, MAX>> for u16 {
    fn from(count: Count<MIN, MAX>) -> Self {
        Self::try_from(count.0).unwrap_or(Self::MAX)
    }
}

/// A suite by its name.
#[derive(Clone, Copy)]
pub(crate) struct SuiteName(pub(crate) Suite);

impl<'de> Deserialize<'de> for SuiteName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Suite::from_name(&name).map(Self).ok_or_else(|| {
            invalid(
                format_args!("`{}` is not a suite", name.escape_default()),
                "one of S, M, E, SE, SP, or sign, mac, encrypt, sign-encrypt, sign-encrypt-to",
            )
        })
    }
}

/// Reads a list of suites into a field.
pub(crate) fn suites<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SuiteSet, D::Error> {
    let suites = Vec::<SuiteName>::deserialize(deserializer)?;
    Ok(suites.into_iter().fold(SuiteSet::NONE, |set, suite| set.with(suite.0)))
}

/// A queue by its name.
#[derive(Clone)]
pub(crate) struct Queue(pub(crate) QueueName);

impl<'de> Deserialize<'de> for Queue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        QueueName::parse(&name)
            .map(Self)
            .map_err(|error| invalid(format_args!("`{}` is not a queue name", name.escape_default()), error))
    }
}

impl From<Queue> for QueueName {
    fn from(queue: Queue) -> Self {
        queue.0
    }
}

/// A name of up to `MAX` printable ASCII characters without space; `/` only if `SLASH`.
#[derive(Clone)]
pub(crate) struct Name<const MAX: usize, const SLASH: bool>(pub(crate) String);

impl<'de, const MAX: usize, const SLASH: bool> Deserialize<'de> for Name<MAX, SLASH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let allowed = |byte: u8| byte.is_ascii_graphic() && (SLASH || byte != b'/');
        if name.is_empty() || name.len() > MAX || !name.bytes().all(allowed) {
            let slash = if SLASH { "" } else { " or `/`" };
            return Err(invalid(
                format_args!("`{}` is not a valid name", name.escape_default()),
                format_args!("1 to {MAX} printable ASCII characters without space{slash}"),
            ));
        }
        Ok(Self(name))
    }
}

impl<const MAX: usize, const SLASH: bool> From<Name<MAX, SLASH>> for String {
    fn from(name: Name<MAX, SLASH>) -> Self {
        name.0
    }
}
