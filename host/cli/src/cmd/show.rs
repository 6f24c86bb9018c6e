//! Claims, bodies and tables for people and for JSON.

use serde_json::{Value, json};
use taskseal::escape::Escaped;
use taskseal_core::claims::ClockSource;
use taskseal_core::{Claims, Kind, Unverified};
use zeroize::Zeroizing;

use crate::ui::{Failure, Ui};

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

/// A body, as it is for a program and escaped for a terminal.
pub(super) fn body(body: &[u8], ui: &Ui) -> Result<(), Failure> {
    if !Ui::is_terminal() {
        return ui.data(body);
    }
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    let escape = |line: &[u8]| format!("{}\n", Escaped::new(line.strip_suffix(b"\n").unwrap_or(line)));
    ui.text(&Zeroizing::new(lines.map(escape).collect::<String>()))
}

/// Rows under a head, in columns, cells escaped.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let escaped = rows.iter().map(|row| row.each_ref().map(|cell| Escaped::new(cell).to_string()));
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(escaped).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// What an envelope is and claims.
pub(super) fn envelope(envelope: &Unverified<'_>, bytes: usize) -> Vec<(&'static str, Value)> {
    let mut shown: Vec<(&'static str, Value)> = vec![
        ("kind", kind(envelope.kind()).into()),
        ("suite", envelope.suite().name().into()),
        ("kid", envelope.kid().to_string().into()),
    ];
    shown.extend(envelope.recipient_kid().map(|kid| ("recipient", kid.to_string().into())));
    shown.push(("batched", envelope.is_batched().into()));
    shown.push(("bytes", bytes.into()));
    shown.push(("body_bytes", envelope.body_len().into()));
    shown.extend(members(envelope.danger_claims_unverified()));
    shown
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
    base16ct::lower::encode_string(bytes)
}
