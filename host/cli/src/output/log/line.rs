//! One line of the log, made from a `tracing` event and printed as text or JSON.

use std::fmt::{Debug, Write};

use serde_json::{Value, json};
use taskseal::telemetry::WORKER_TARGET;
use taskseal::time::UnixMillis;
use taskseal_core::Refusal;
use tracing::Event;
use tracing::field::{Field, Visit};

use crate::output::json::Member;
use crate::refusal_hint::refusal_hint_of;
use crate::time_arg;
use crate::ui::Ui;

/// A line of the log. The texts are not escaped yet.
#[derive(Debug)]
pub(super) struct Line {
    /// Kind of event: the member `event` in JSON.
    pub(super) event: String,
    at: UnixMillis,
    /// Text for an operator.
    pub(super) message: String,
    /// Further members in JSON.
    members: Vec<Member>,
}

/// The member `event` of warnings that are not about a worker.
pub(super) const WARNING: &str = "warning";

impl Line {
    pub(super) fn new(event: &Event<'_>) -> Self {
        let mut line = Self::with(WARNING, "");
        event.record(&mut line);
        if event.metadata().target() != WORKER_TARGET {
            line.members.push(("message", json!(line.message)));
            line.append_members();
        }
        line.add_next_step();
        line
    }

    /// Adds what to do about a task that is not acceptable yet, which no quarantine entry says, and about a full quarantine.
    fn add_next_step(&mut self) {
        let next_step = match self.event.as_str() {
            "postponed" => Refusal::from_code(self.text("code"))
                .map(|refusal| refusal_hint_of(refusal, self.text("detail"))),
            "quarantine-full" => Some(
                "find the most frequent code with `taskseal quarantine ls`, or raise `quarantine_entries` and \
                 `quarantine_bytes` in [state]",
            ),
            _ => None,
        };
        if let Some(next_step) = next_step {
            let _ = write!(self.message, "; {next_step}");
            self.members.push(("next_step", json!(next_step)));
        }
    }

    /// A line without further members.
    pub(super) fn with(event: &str, message: &str) -> Self {
        let (event, message) = (event.to_owned(), message.to_owned());
        Self { event, at: UnixMillis::now(), message, members: Vec::new() }
    }

    /// Returns a member that is a string, or the empty string.
    pub(super) fn text(&self, name: &str) -> &str {
        self.member(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns a member that is a number, or zero.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.member(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Returns whether a member is `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.member(name).and_then(Value::as_bool).unwrap_or_default()
    }

    fn member(&self, name: &str) -> Option<&Value> {
        self.members.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Appends the members to the message, which does not contain them.
    fn append_members(&mut self) {
        for (name, value) in self.members.iter().filter(|(name, _)| *name != "message") {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // Writing to a string cannot fail.
            let _ = write!(self.message, "; {name}: {text}");
        }
    }

    /// Adds how many lines like this one were omitted before it.
    pub(super) fn add_omitted(&mut self, count: u64) {
        if count > 0 {
            let _ = write!(self.message, "; {count} more since the last line");
            self.members.push(("omitted", json!(count)));
        }
    }

    /// Returns the line with one more member.
    pub(super) fn member_added(mut self, name: &'static str, value: Value) -> Self {
        self.members.push((name, value));
        self
    }

    /// Prints the line on standard error. JSON has its time in any case, text only with `with_time`.
    pub(super) fn print(self, ui: Ui, with_time: bool) {
        if ui.json() {
            let mut members = vec![("event", json!(self.event)), ("at", json!(time_arg::show(self.at)))];
            members.extend(self.members);
            ui.log_object(members);
        } else if with_time {
            ui.warn(&format!("{} {}", time_arg::show(self.at), self.as_text()));
        } else {
            ui.warn(&self.as_text());
        }
    }

    /// Returns the message with the name of the event, by which documents and filters refer to it.
    fn as_text(&self) -> String {
        if self.event == WARNING {
            self.message.clone()
        } else {
            format!("{} [{}]", self.message, self.event)
        }
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("event", Value::String(text)) => self.event = text,
            (name, value) => self.members.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
