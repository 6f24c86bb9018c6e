//! Attacks that move, repeat or confuse authentic tasks and results.

use std::time::Duration;

use taskseal::broker::{TaskRecord, TaskState};
use taskseal::time::UnixMillis;
use taskseal::{Receipt, Task};
use taskseal_core::ContentType;

use super::Outcome;
use super::context::{Context, FORGED_BODY};
use crate::cmd::demo::attacker::AnyError;

pub(super) async fn result_as_task(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    let (info, record) = context.attacker.read(&context.queue, &victim.id.to_string()).await?;
    let envelope = info.result.ok_or("no result to read")?.into();
    context.replace(&context.queue, TaskRecord { envelope, ..record }).await
}

pub(super) async fn redirect_queue(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let record = context.fresh_task("file:digest").await?;
    context.attacker.storage.erase(&context.queue, &record.id)?;
    let queue = context.other_queue.to_string();
    context.replace(&context.other_queue, TaskRecord { queue, ..record }).await
}

pub(super) async fn pull_forward(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let later = UnixMillis::now().plus(Duration::from_secs(3600));
    let task = Task::from_bytes("file:digest", ContentType::OCTETS, FORGED_BODY.to_vec())?;
    let receipt = context.client.enqueue(task.queue(context.queue.clone()).process_at(later)).await?;
    let id = receipt.id.to_string();
    let (_, record) = context.attacker.read(&context.queue, &id).await?;
    context.replace(&context.queue, record).await
}

pub(super) async fn replay_new_id(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    let (_, record) = context.attacker.read(&context.queue, &victim.id.to_string()).await?;
    let id = uuid::Uuid::now_v7().to_string();
    context.replace(&context.queue, TaskRecord { id, ..record }).await
}

pub(super) async fn replay(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    let (_, record) = context.attacker.read(&context.queue, &victim.id.to_string()).await?;
    context.replace(&context.queue, record).await
}

pub(super) async fn reset_attempts(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let exhausted = context.attacker.broker.list(&context.queue, TaskState::Archived, 0, 1000).await?;
    let failed = exhausted.into_iter().filter_map(|info| info.record);
    let record = failed.into_iter().find(|record| record.task_type == "file:fail");
    let record = record.ok_or("no failed task to reset")?;
    context.replace(&context.queue, record).await
}

pub(super) async fn forge_result(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    let forged = b"{\"sha256\":\"0\"}";
    context.attacker.storage.set_result(&context.queue, &victim.id.to_string(), forged)?;
    Ok(Outcome::Read(context.client.result(victim).await.map(drop)))
}

pub(super) async fn swap_results(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    let completed = context.attacker.broker.list(&context.queue, TaskState::Completed, 0, 100).await?;
    let own = victim.id.to_string();
    let other = completed.into_iter().find(|info| info.id != own).and_then(|info| info.result);
    let result = other.ok_or("no other result to read")?;
    context.attacker.storage.set_result(&context.queue, &own, &result)?;
    Ok(Outcome::Read(context.client.result(victim).await.map(drop)))
}
