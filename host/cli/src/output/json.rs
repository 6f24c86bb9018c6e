//! JSON output: versioned objects, and the members that describe envelopes and claims.

use serde_json::{Map, Value, json};
use taskseal::time::{UnixMillis, rfc3339};
use taskseal_core::claims::ClockSource;
use taskseal_core::{Claims, Kind, Unverified};

/// A member of an object.
pub(crate) type Member = (&'static str, Value);

/// Returns an object without a version, for use inside another one.
pub(crate) fn nested(members: Vec<Member>) -> Value {
    let mut object = Map::new();
    for (name, value) in members {
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

/// Returns an object with the version of its format, in ASCII: a terminal may display it.
pub(crate) fn versioned(mut members: Vec<Member>) -> String {
    members.insert(0, ("v", Value::from(1)));
    ascii(&nested(members))
}

/// Returns JSON in ASCII.
pub(crate) fn ascii(value: &Value) -> String {
    let mut ascii = String::new();
    for character in value.to_string().chars() {
        if character < '\u{7f}' {
            ascii.push(character);
        } else {
            // Outside of strings JSON is ASCII, so every such character is inside a string.
            let units = &mut [0; 2];
            for unit in character.encode_utf16(units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// Returns the members that describe claims, without those that are not claimed.
pub(crate) fn claims(claims: &Claims<'_>) -> Vec<Member> {
    let mut members = vec![
        ("id", json!(claims.task_id.to_string())),
        ("issuer", json!(claims.issuer.as_str())),
        ("type", json!(claims.task_type.as_str())),
        ("audience", json!(claims.audience.as_str())),
    ];
    let mut put = |name, value: Option<Value>| members.extend(value.map(|value| (name, value)));
    put("issued_at", claims.issued_at.map(time));
    put("not_before", claims.not_before.map(time));
    put("expires_at", claims.expires_at.map(time));
    put("clock", clock(claims.clock).map(Value::from));
    put("sequence", claims.sequence.map(|sequence| json!([sequence.epoch, sequence.counter])));
    put("schema", claims.schema.map(Value::from));
    put("trace", claims.trace.map(|trace| hex(&trace).into()));
    put("reference", claims.reference.map(|reference| reference.as_str().into()));
    put("beacon", claims.beacon.map(|beacon| hex(&beacon).into()));
    put("ttl", claims.ttl.map(Value::from));
    put("attempts", claims.attempts.map(Value::from));
    put("timeout", claims.timeout.map(Value::from));
    put("retention", claims.retention.map(Value::from));
    put("request", claims.request.map(|request| hex(&request).into()));
    members
}

/// Returns the members that describe an envelope of `bytes` bytes and its claims.
pub(crate) fn envelope(envelope: &Unverified<'_>, bytes: usize) -> Vec<Member> {
    let mut members: Vec<Member> = vec![
        ("kind", kind(envelope.kind()).into()),
        ("suite", envelope.suite().short_name().into()),
        ("kid", envelope.kid().to_string().into()),
    ];
    members.extend(envelope.recipient_kid().map(|kid| ("recipient", kid.to_string().into())));
    members.push(("batched", envelope.is_batched().into()));
    members.push(("bytes", bytes.into()));
    members.push(("body_bytes", envelope.body_len().into()));
    members.extend(claims(envelope.danger_claims_unverified()));
    members
}

/// Returns the name of a kind of envelope.
pub(crate) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Result => "result",
        _ => "task",
    }
}

/// Returns bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Returns a time in RFC 3339, or the number of seconds if it is outside the calendar.
pub(crate) fn time(seconds: u64) -> Value {
    let shown =
        i64::try_from(seconds).ok().and_then(|seconds| rfc3339::format(UnixMillis::from_secs(seconds)));
    shown.map_or_else(|| Value::from(seconds), Value::from)
}

const fn clock(clock: ClockSource) -> Option<&'static str> {
    match clock {
        ClockSource::Beacon => Some("beacon"),
        ClockSource::None => Some("none"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_is_ascii_and_has_a_version() {
        let object = versioned(vec![("id", json!("\u{9b}\u{1f512}\u{1b}"))]);
        assert_eq!(object, r#"{"id":"\u009b\ud83d\udd12\u001b","v":1}"#);
    }
}
