//! One line of the input of `taskseal enqueue --jsonl`: a JSON object that describes one task.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use taskseal::time::UnixMillis;
use taskseal::{QueueName, Task};
use taskseal_core::name::Reference;
use taskseal_core::{ContentType, MAX_BODY, TaskId};
use zeroize::Zeroize;

use crate::cmd::enqueue::args::Args;
use crate::time_arg;

/// Maximum length of a line, in bytes: the longest body in base64, and the other members.
pub(super) const MAX_LINE: usize = MAX_BODY / 3 * 4 + (64 << 10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    r#type: Option<String>,
    queue: Option<String>,
    /// The text as it is written, so that numbers and the order of members do not change.
    #[serde(borrow, default, deserialize_with = "some")]
    body: Option<&'l RawValue>,
    body_base64: Option<String>,
    content_type: Option<String>,
    id: Option<String>,
    r#ref: Option<String>,
    at: Option<String>,
    r#in: Option<String>,
    attempts: Option<u16>,
    timeout: Option<String>,
    retention: Option<String>,
    lifetime: Option<String>,
}

/// `null` is a body too.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Returns the first line without its byte order mark. Text in UTF-16 is refused.
pub(super) fn without_mark(line: &[u8]) -> Result<&[u8], String> {
    if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) {
        return Err("the text is UTF-16; expected UTF-8".to_owned());
    }
    Ok(line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line))
}

/// Returns the task of a line, or `None` for an empty line.
pub(super) fn parse(line: &[u8], args: &Args) -> Result<Option<Task>, String> {
    if line.len() > MAX_LINE {
        return Err(format!("longer than {MAX_LINE} bytes"));
    }
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let parsed: Result<Line<'_>, _> = serde_json::from_slice(line);
    let parsed = parsed.map_err(|error| {
        let text = error.to_string();
        // The parser counts lines from the start of this one: only the column is of use.
        let end = text.rfind(" at line ").unwrap_or(text.len());
        format!(
            "column {}: {}{}",
            error.column(),
            if error.is_data() { "" } else { "not a JSON object: " },
            text.get(..end).unwrap_or_default()
        )
    })?;
    parsed.task(args).map(Some)
}

impl Line<'_> {
    fn task(self, args: &Args) -> Result<Task, String> {
        let task = self.bare_task(args)?;
        let task = self.route(args.apply(task), args)?;
        self.limit(task)
    }

    /// Returns the task with its type and body.
    fn bare_task(&self, args: &Args) -> Result<Task, String> {
        let task_type = self.r#type.as_deref().or(args.task_type.as_deref());
        let task_type = task_type.ok_or("no \"type\" and no --type")?;
        let (body, default_type) = match (self.body, &self.body_base64) {
            (Some(body), None) => (body.get().as_bytes().to_vec(), ContentType::JSON),
            (None, Some(text)) => {
                let body = Base64::decode_vec(text).map_err(|_| "\"body_base64\" is not base64")?;
                (body, ContentType::OCTETS)
            }
            _ => return Err("exactly one of \"body\" and \"body_base64\" is required".to_owned()),
        };
        let content_type = match self.content_type.as_deref().or(args.content_type.as_deref()) {
            Some(name) => ContentType::new(name).map_err(|_| format!("`{name}` is not a media type"))?,
            None => default_type,
        };
        Task::from_bytes(task_type, content_type, body).map_err(|error| error.to_string())
    }

    /// Sets queue, start time, id and reference.
    fn route(&self, mut task: Task, args: &Args) -> Result<Task, String> {
        match &self.queue {
            Some(queue) => {
                task = task.queue(QueueName::parse(queue).map_err(|error| error.to_string())?);
            }
            None if args.queue.is_none() => return Err("no \"queue\" and no --queue".to_owned()),
            None => {}
        }
        match (self.at.as_deref(), self.r#in.as_deref()) {
            (Some(at), None) => task = task.process_at(time_arg::instant(at)?),
            (None, Some(delay)) => {
                task = task.process_at(UnixMillis::now().plus(time_arg::duration(delay)?));
            }
            (None, None) => {}
            (Some(_), Some(_)) => return Err("\"at\" and \"in\" cannot be used together".to_owned()),
        }
        if let Some(id) = &self.id {
            task = task.id(TaskId::parse(id).ok_or_else(|| format!("`{id}` is not a UUID in lower case"))?);
        }
        if let Some(reference) = &self.r#ref {
            let valid = Reference::new(reference);
            valid.map_err(|error| format!("`{reference}` is not a reference: {error}"))?;
            task = task.reference(reference);
        }
        Ok(task)
    }

    /// Sets attempts and durations.
    fn limit(&self, mut task: Task) -> Result<Task, String> {
        match self.attempts {
            Some(0) => return Err("\"attempts\" must be at least 1".to_owned()),
            Some(attempts) => task = task.attempts(attempts),
            None => {}
        }
        if let Some(timeout) = &self.timeout {
            task = task.timeout(time_arg::duration(timeout)?);
        }
        if let Some(retention) = &self.retention {
            task = task.retention(time_arg::duration(retention)?);
        }
        if let Some(lifetime) = &self.lifetime {
            task = task.within(time_arg::duration(lifetime)?);
        }
        Ok(task)
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.body_base64.zeroize();
    }
}
