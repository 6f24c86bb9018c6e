//! `taskseal audit show`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use taskseal::time::{UnixMillis, rfc3339};

use super::files;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::{json, text};
use crate::time_arg;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of one log, the oldest first [default: all files of the log in the configuration]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only lines that are at most this old
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    since: Option<Duration>,
    /// Only this event, or events with this prefix followed by `*`
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only lines about the task with this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only lines of this user: a name, a user id, or the name that `sudo` gave
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only the last lines, this many
    #[arg(long, value_name = "COUNT")]
    last: Option<usize>,
}

/// A line of the log.
struct Line {
    members: Map<String, Value>,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let mut lines = VecDeque::new();
    let since = args.since.map(|since| UnixMillis::now().0.saturating_sub(UnixMillis(0).plus(since).0));
    let (mut skipped, most) = (0, args.last.unwrap_or(usize::MAX));
    let files = files(&args.files, global)?;
    for file in files.paths() {
        let read = files.read(file, |line| match Line::parse(line) {
            None => skipped += 1,
            Some(line) if args.matches(&line, since.map(UnixMillis)) => {
                lines.push_back(line);
                if lines.len() > most {
                    lines.pop_front();
                }
            }
            Some(_) => {}
        });
        read.map_err(Failure::file)?;
    }
    print(&lines, ui)?;
    if skipped > 0 {
        ui.warn(&format!("{skipped} lines are damaged or cut: `taskseal audit verify` names them"));
    }
    Ok(())
}

impl Line {
    fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().map(|members| Self { members })
    }

    fn text(&self, name: &str) -> &str {
        self.members.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the user: the name, else the user id, with the user that used `sudo`.
    fn user(&self) -> String {
        let uid = self.members.get("uid").map(Value::to_string).unwrap_or_default();
        let name = Some(self.text("user")).filter(|name| !name.is_empty()).unwrap_or(&uid);
        match self.text("sudo_user") {
            "" => name.to_owned(),
            sudo_user => format!("{name} (sudo: {sudo_user})"),
        }
    }

    /// Returns what is particular to the event.
    fn details(&self) -> String {
        let common = |name: &str| COMMON.contains(&name);
        let details = self.members.iter().filter(|(name, _)| !common(name));
        details.map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(" ")
    }
}

/// Members of every line.
const COMMON: [&str; 13] = [
    "v",
    "n",
    "prev",
    "at",
    "event",
    "uid",
    "user",
    "sudo_user",
    "login_uid",
    "pid",
    "program",
    "host",
    "cose",
];

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

impl Args {
    fn matches(&self, line: &Line, since: Option<UnixMillis>) -> bool {
        let event = line.text("event");
        let is_event = |wanted: &String| match wanted.strip_suffix('*') {
            Some(start) => event.starts_with(start),
            None => event == wanted,
        };
        let is_recent = |since| rfc3339::parse(line.text("at")).is_some_and(|at| at >= since);
        let is_of_task = |id: &String| {
            let ids = line.members.get("ids").and_then(Value::as_array);
            line.text("id") == id || ids.is_some_and(|ids| ids.iter().any(|other| other == id))
        };
        let is_of_user = |user: &String| {
            let uid = line.members.get("uid").map(Value::to_string);
            [line.text("user"), line.text("sudo_user")].contains(&user.as_str()) || uid.as_ref() == Some(user)
        };
        self.event.as_ref().is_none_or(is_event)
            && since.is_none_or(is_recent)
            && self.id.as_ref().is_none_or(is_of_task)
            && self.user.as_ref().is_none_or(is_of_user)
    }
}

fn print(lines: &VecDeque<Line>, ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        // They have the version of their format.
        let object = |line: &Line| format!("{}\n", json::ascii(&Value::Object(line.members.clone())));
        return lines.iter().try_for_each(|line| ui.text(&object(line)));
    }
    let row = |line: &Line| {
        [line.text("at").to_owned(), line.text("event").to_owned(), line.user(), line.details()]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    ui.text(&text::table(["TIME", "EVENT", "USER", "DETAILS"], &rows))
}
