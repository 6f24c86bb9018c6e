//! `taskseal task run`, `archive` and `delete`: of tasks by id, or of all that a filter matches.

use serde_json::json;
use taskseal::QueueName;
use taskseal::audit::{OperatorAction, TaskChange};
use taskseal::broker::{Operated, Operation, TaskState};

use super::select::{Filter, each_task, state};
use crate::confirmation::confirm;
use crate::failure::Failure;
use crate::session::Session;
use crate::trail::{Action, Trail};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Task ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// The queue [default: search all queues for the ids]
    #[arg(long, required_unless_present = "ids")]
    queue: Option<QueueName>,
    /// All tasks in this state that match the filters: pending, scheduled, retry, archived, completed or aggregating
    #[arg(long, value_parser = state, conflicts_with = "ids")]
    state: Option<TaskState>,
    #[command(flatten)]
    filter: Filter,
    /// All tasks of the state, without a filter
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Number of tasks in one call.
const BATCH: usize = 500;

pub(super) async fn run(
    session: &Session,
    args: &Args,
    operation: Operation,
    ui: &Ui,
) -> Result<(), Failure> {
    let trail = Trail::open(&session.config, ui)?;
    if args.ids.is_empty() {
        return many(session, args, operation, &trail, ui).await;
    }
    let queue = args.queue.as_ref();
    let mut action = trail.begin(audited(operation, queue, args.ids.clone()))?;
    let changed = some(session, args, operation, &mut action, ui).await;
    action.end(changed)
}

/// Changes the tasks that are named by their ids.
async fn some(
    session: &Session,
    args: &Args,
    operation: Operation,
    action: &mut Action<'_>,
    ui: &Ui,
) -> Result<(), Failure> {
    action.count(0);
    let mut failed = None;
    for id in &args.ids {
        let outcome = find_and_change(session, args, operation, id).await?;
        match outcome {
            Some((queue, Operated::Done(state))) => {
                action.count(1);
                report(&queue, id, operation, state, ui)?;
            }
            Some((queue, Operated::Unchanged(state))) => {
                let failure = unchanged(&queue, id, operation, state);
                ui.note(&failure.message);
                failed.get_or_insert(failure);
            }
            _ => {
                let failure = Failure::not_found(format!("task {id} not found"))
                    .hint("`taskseal task ls --queue NAME` lists the tasks of a queue");
                ui.note(&failure.message);
                failed.get_or_insert(failure);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn find_and_change(
    session: &Session,
    args: &Args,
    operation: Operation,
    id: &String,
) -> Result<Option<(QueueName, Operated)>, Failure> {
    for queue in session.queues_or(args.queue.as_ref()).await? {
        let outcomes = session.broker.operate(&queue, std::slice::from_ref(id), operation).await;
        let outcome = outcomes.map_err(|error| session.broker_failure(&error))?.first().copied();
        if let Some(outcome) = outcome.filter(|outcome| *outcome != Operated::NotFound) {
            return Ok(Some((queue, outcome)));
        }
    }
    Ok(None)
}

/// Changes all tasks that match the filters.
async fn many(
    session: &Session,
    args: &Args,
    operation: Operation,
    trail: &Trail,
    ui: &Ui,
) -> Result<(), Failure> {
    let (Some(queue), Some(state)) = (&args.queue, args.state) else {
        return Err(
            Failure::usage("no tasks are named").hint("name task ids, or --queue and --state with a filter")
        );
    };
    if args.filter.is_empty() && !args.all {
        return Err(Failure::usage("no filter is given")
            .hint(format!("use --all for every {} task of queue {queue}", state.as_str())));
    }
    let mut ids = Vec::new();
    each_task(session, queue, &[state], &args.filter, &mut |info| {
        ids.push(info.id.clone());
        Ok(true)
    })
    .await?;
    let question = format!("{} {} {} tasks of queue {queue}", verb(operation), ids.len(), state.as_str());
    confirm(&question, ids.len(), args.yes, ui)?;
    let mut action = trail.begin(audited(operation, Some(queue), ids.clone()))?;
    let changed = change_all(session, queue, &ids, operation, &mut action, ui).await;
    let changed = action.end(changed)?;
    if ui.json() {
        return ui.object(vec![
            ("queue", json!(queue.as_str())),
            ("matched", json!(ids.len())),
            ("changed", json!(changed)),
        ]);
    }
    ui.text(&format!("{}: {changed} of {} tasks in queue {queue}\n", done(operation), ids.len()))
}

/// Changes tasks, and returns how many.
async fn change_all(
    session: &Session,
    queue: &QueueName,
    ids: &[String],
    operation: Operation,
    action: &mut Action<'_>,
    ui: &Ui,
) -> Result<usize, Failure> {
    let mut changed = 0;
    action.count(0);
    for batch in ids.chunks(BATCH) {
        let outcomes = session.broker.operate(queue, batch, operation).await;
        let outcomes = outcomes.map_err(|error| {
            ui.note(&format!("{changed} tasks were changed before"));
            session.broker_failure(&error)
        })?;
        let done = outcomes.iter().filter(|outcome| matches!(outcome, Operated::Done(_))).count();
        action.count(done);
        changed += done;
    }
    Ok(changed)
}

/// Returns the action for the audit log.
fn audited(operation: Operation, queue: Option<&QueueName>, ids: Vec<String>) -> OperatorAction {
    let change = match operation {
        Operation::Run => TaskChange::Run,
        Operation::Archive => TaskChange::Archive,
        _ => TaskChange::Delete,
    };
    OperatorAction::Tasks { change, queue: queue.map(|queue| queue.as_str().to_owned()), ids }
}

fn report(
    queue: &QueueName,
    id: &str,
    operation: Operation,
    before: TaskState,
    ui: &Ui,
) -> Result<(), Failure> {
    if ui.json() {
        return ui.object(vec![
            ("queue", json!(queue.as_str())),
            ("id", json!(id)),
            ("before", json!(before.as_str())),
            ("done", json!(done(operation))),
        ]);
    }
    ui.text(&format!("{}: {id} in queue {queue}, {} before\n", done(operation), before.as_str()))
}

/// Returns why a task in `state` was not changed.
fn unchanged(queue: &QueueName, id: &str, operation: Operation, state: TaskState) -> Failure {
    let message = format!("task {id} in queue {queue} is {}: nothing was changed", state.as_str());
    let hint = match (operation, state) {
        (_, TaskState::Active) => {
            "a worker runs it; the queue is not trusted to end a run. Stop the worker, or wait for the time limit"
        }
        (Operation::Run, TaskState::Pending) => "it runs when a worker takes it",
        (Operation::Run, _) => {
            "it has succeeded, and the replay ledger refuses a second run: enqueue a new task"
        }
        _ => "`taskseal task inspect` shows what the queue stores",
    };
    Failure::new(message).hint(hint)
}

const fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Run => "run",
        Operation::Archive => "archive",
        _ => "delete",
    }
}

const fn done(operation: Operation) -> &'static str {
    match operation {
        Operation::Run => "pending",
        Operation::Archive => "archived",
        _ => "deleted",
    }
}
