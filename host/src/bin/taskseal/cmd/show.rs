//! Claims for people and for JSON.

use serde_json::{Value, json};
use taskseal::escape::Escaped;
use taskseal_core::claims::ClockSource;
use taskseal_core::{Claims, Kind};

/// Members of a JSON object; what is not claimed is left out.
pub(super) fn members(claims: &Claims<'_>) -> Vec<(&'static str, Value)> {
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

/// One line a member, names in a column, values escaped.
pub(super) fn lines(members: &[(&'static str, Value)]) -> String {
    let width = members.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, Value)| {
        let shown = match value {
            Value::String(text) => Escaped::new(text).to_string(),
            other => other.to_string(),
        };
        format!("{name:width$}  {shown}\n")
    };
    members.iter().map(line).collect()
}

pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Result => "result",
        _ => "task",
    }
}

/// RFC 3339 as far as calendars go, else the number.
fn time(seconds: u64) -> Value {
    let instant = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    instant.map_or_else(|| Value::from(seconds), |instant| instant.to_string().into())
}

const fn clock(clock: ClockSource) -> Option<&'static str> {
    match clock {
        ClockSource::Beacon => Some("beacon"),
        ClockSource::None => Some("none"),
        _ => None,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
