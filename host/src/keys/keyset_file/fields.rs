//! The values of fields in a keyset file.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Deserializer};
use taskseal_core::KeyId;
use taskseal_core::keys::POINT_LEN;
use taskseal_core::keyset::signed::KeyState;

use crate::time::{UnixMillis, rfc3339};
use crate::toml_file::{Spanned, invalid};

pub(super) fn kid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<KeyId>, D::Error> {
    Ok(Spanned::<Kid>::deserialize(deserializer)?.map(|kid| kid.0))
}

pub(crate) struct Kid(pub(crate) KeyId);

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        KeyId::parse_hex(&text)
            .map(Self)
            .map_err(|_| invalid("not a kid", "write the 16 hex digits that `taskseal keygen` printed"))
    }
}

pub(crate) struct Point(pub(crate) [u8; POINT_LEN]);

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut point = [0; POINT_LEN];
        match Base64UrlUnpadded::decode(&text, &mut point) {
            Ok(decoded) if decoded.len() == POINT_LEN => Ok(Self(point)),
            _ => Err(invalid("not a public key", "write the uncompressed point in base64url, 87 characters")),
        }
    }
}

/// The state of a key. A key that has none in the file is in use.
pub(super) struct State(pub(super) KeyState);

impl Default for State {
    fn default() -> Self {
        Self(KeyState::Primary)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        KeyState::from_name(&text).map(Self).ok_or_else(|| {
            let names = KeyState::ALL.map(KeyState::name).join(", ");
            invalid("not the state of a key", format_args!("write one of {names}"))
        })
    }
}

/// Patterns joined by spaces.
pub(crate) struct Patterns(pub(crate) String);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let patterns = Vec::<String>::deserialize(deserializer)?;
        if let Some(wrong) = patterns.iter().find(|pattern| !is_pattern(pattern)) {
            return Err(invalid(
                format_args!("`{}` is not a pattern", wrong.escape_default()),
                "write a name, or the start of one followed by `*`, in printable ASCII without spaces",
            ));
        }
        Ok(Self(patterns.join(" ")))
    }
}

/// Returns whether a text is a pattern of names: a name, or the start of one followed by `*`.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    !text.is_empty() && text.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
}

/// Unix time in seconds.
#[derive(Clone, Copy)]
pub(super) struct Instant(pub(super) u64);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = rfc3339::parse(&text).map(UnixMillis::as_secs);
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Self).ok_or_else(|| {
            invalid("not a time", "write RFC 3339 with an offset, for example \"2026-01-31T00:00:00Z\"")
        })
    }
}
