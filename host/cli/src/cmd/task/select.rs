//! Which tasks a command is about, according to the unverified words of the queue.

use std::collections::HashSet;
use std::time::Duration;

use taskseal::QueueName;
use taskseal::broker::{TaskInfo, TaskState};
use taskseal::time::UnixMillis;

use crate::failure::Failure;
use crate::session::Session;
use crate::time_arg;

/// Filters. A task must match all of them. They read what the queue and the envelope state, unverified.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only tasks of this type, or of types with this prefix followed by `*`
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,
    /// Only tasks whose envelope states this issuer
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Only archived tasks that were refused with this code
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only tasks whose time (archived at, next try, ...) is at least this long ago
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    older: Option<Duration>,
    /// Only tasks whose time is at most this long ago
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    since: Option<Duration>,
}

/// Parses the name of a state.
pub(super) fn state(word: &str) -> Result<TaskState, String> {
    let words = || TaskState::ALL.map(TaskState::as_str).join(", ");
    TaskState::parse(word).ok_or_else(|| format!("one of {}", words()))
}

impl Filter {
    /// Returns whether there is no filter.
    pub(super) const fn is_empty(&self) -> bool {
        self.task_type.is_none()
            && self.issuer.is_none()
            && self.code.is_none()
            && self.older.is_none()
            && self.since.is_none()
    }

    fn matches(&self, info: &TaskInfo, now: UnixMillis) -> bool {
        let record = info.record.as_ref();
        let matches_type = |wanted: &String| {
            record.is_some_and(|record| match wanted.strip_suffix('*') {
                Some(prefix) => record.task_type.starts_with(prefix),
                None => record.task_type == *wanted,
            })
        };
        let has_issuer = |wanted: &String| {
            record
                .and_then(|record| record.parse().ok())
                .is_some_and(|envelope| envelope.danger_claims_unverified().issuer.as_str() == wanted)
        };
        let has_code = |wanted: &String| info.refusal_code() == Some(wanted);
        let age = info.at.map(|at| now.since(at));
        self.task_type.as_ref().is_none_or(matches_type)
            && self.issuer.as_ref().is_none_or(has_issuer)
            && self.code.as_ref().is_none_or(has_code)
            && self.older.is_none_or(|older| age.is_some_and(|age| age >= older))
            && self.since.is_none_or(|since| age.is_some_and(|age| age <= since))
    }
}

/// Maximum number of tasks in one call: each comes with its payload.
const PAGE: usize = 64;

/// Calls `visit` with each task in `states` that matches, page by page, until it returns false.
pub(super) async fn each_task(
    session: &Session,
    queue: &QueueName,
    states: &[TaskState],
    filter: &Filter,
    visit: &mut dyn FnMut(&TaskInfo) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let now = UnixMillis::now();
    for state in states {
        let mut offset = 0;
        // Tasks move while they are listed, so a task may be on two pages.
        let mut seen = HashSet::new();
        loop {
            let page = session.broker.list(queue, *state, offset, PAGE).await;
            let page = page.map_err(|error| session.broker_failure(&error))?;
            // A page may be short without being the last one.
            if page.is_empty() {
                break;
            }
            offset += page.len();
            for info in page.into_iter().filter(|info| filter.matches(info, now)) {
                if seen.insert(info.id.clone()) && !visit(&info)? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
