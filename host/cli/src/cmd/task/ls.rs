//! `taskseal task ls`.

use serde_json::json;
use taskseal::QueueName;
use taskseal::broker::{TaskInfo, TaskState};

use super::inspect::{members, time_meaning};
use super::select::{Filter, each_task, state};
use crate::failure::Failure;
use crate::output::text;
use crate::session::Session;
use crate::time_arg;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The queue
    #[arg(long)]
    queue: QueueName,
    /// Only tasks in this state: pending, active, scheduled, retry, archived, completed or aggregating
    #[arg(long, value_parser = state)]
    state: Option<TaskState>,
    #[command(flatten)]
    filter: Filter,
    /// Maximum number of tasks
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) async fn run(session: &Session, args: &Args, ui: &Ui) -> Result<(), Failure> {
    if !session.queues().await?.contains(&args.queue) {
        return Err(Failure::not_found(format!("queue {} not found", args.queue))
            .hint("`taskseal queue ls` lists the queues"));
    }
    let states = args.state.map_or_else(|| TaskState::ALL.to_vec(), |state| vec![state]);
    let mut listing = Listing { args, ui, rows: Vec::new(), listed: 0, has_more: false };
    each_task(session, &args.queue, &states, &args.filter, &mut |info| {
        listing.add(info)?;
        Ok(!listing.has_more)
    })
    .await?;
    listing.finish()
}

/// The output of the command.
struct Listing<'a> {
    args: &'a Args,
    ui: &'a Ui,
    rows: Vec<[String; 5]>,
    listed: usize,
    /// Whether there are more tasks than the limit.
    has_more: bool,
}

impl Listing<'_> {
    fn add(&mut self, info: &TaskInfo) -> Result<(), Failure> {
        if self.listed == self.args.limit {
            self.has_more = true;
            return Ok(());
        }
        self.listed += 1;
        if self.ui.json() {
            let mut members = members(&self.args.queue, info);
            members.push(("unverified", json!(true)));
            return self.ui.object(members);
        }
        self.rows.push(row(info, self.args.state.is_none()));
        Ok(())
    }

    fn finish(&self) -> Result<(), Failure> {
        if !self.ui.json() {
            let time = self.args.state.and_then(time_meaning);
            let time = time.map_or_else(|| "TIME".to_owned(), str::to_uppercase);
            let head = ["STATE", "ID", "TYPE", "RETRIED", &time];
            self.ui.text(&text::table(head, &self.rows))?;
        }
        if self.has_more {
            self.ui.note(&format!("showing the first {} tasks; there are more: raise --limit", self.listed));
        }
        Ok(())
    }
}

/// Returns a row; with the meaning of its time if the tasks of several states are listed.
fn row(info: &TaskInfo, has_states: bool) -> [String; 5] {
    let record = info.record.as_ref();
    let retries = |limit: Option<u32>| {
        format!("{}/{}", info.retries, limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()))
    };
    [
        info.state.as_str().to_owned(),
        info.id.clone(),
        record.map_or_else(|| "(undecodable)".to_owned(), |record| record.task_type.clone()),
        record.map_or_else(|| "-".to_owned(), |record| retries(record.max_retries)),
        info.at.map_or_else(
            || "-".to_owned(),
            |at| match time_meaning(info.state) {
                Some(meaning) if has_states => format!("{meaning} {}", time_arg::show(at)),
                _ => time_arg::show(at),
            },
        ),
    ]
}
