//! What the program of a key command writes: `{"v":1,"secret":"…","version":"…","ttl":300}`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::keys::secret_json;
use crate::keys::secret_source::FetchedSecret;

/// The version of the format, which every version has.
#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply<'r> {
    #[serde(rename = "v")]
    _v: u64,
    /// Not a string: serde would decode escape sequences in memory that is not wiped.
    #[serde(borrow)]
    secret: &'r RawValue,
    version: Option<String>,
    ttl: Option<u64>,
}

/// Parses the output of a program. The error shows no part of it.
pub(super) fn parse(output: &[u8]) -> Result<FetchedSecret, String> {
    let Versioned { v } = serde_json::from_slice(output).map_err(|error| describe(&error))?;
    if v != 1 {
        return Err(format!("its program wrote version {v} of the format, expected version 1"));
    }
    let reply: Reply<'_> = serde_json::from_slice(output).map_err(|error| describe(&error))?;
    let content =
        secret_json::string(reply.secret).ok_or("its program wrote a `secret` that is not a string")?;
    if content.is_empty() {
        return Err("its program wrote an empty `secret`".to_owned());
    }
    let secret = FetchedSecret::new(content);
    let secret = reply.version.into_iter().fold(secret, FetchedSecret::with_version);
    let limits = reply.ttl.map(Duration::from_secs);
    Ok(limits.into_iter().fold(secret, FetchedSecret::with_time_to_live))
}

/// The text of the error itself may quote a value.
fn describe(error: &serde_json::Error) -> String {
    let what = if error.is_data() {
        "JSON with other fields than expected"
    } else {
        "a text that is not one JSON object"
    };
    format!("its program wrote {what} (line {}, column {})", error.line(), error.column())
}
