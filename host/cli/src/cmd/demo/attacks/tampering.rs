//! Attacks that change stored tasks.

use taskseal::Receipt;
use taskseal::broker::TaskRecord;

use super::Outcome;
use super::context::{Context, FORGED_BODY};
use crate::cmd::demo::attacker::AnyError;

pub(super) async fn strip_seal(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let record = context.fresh_task("file:digest").await?;
    context.replace(&context.queue, TaskRecord { envelope: FORGED_BODY.into(), ..record }).await
}

pub(super) async fn garble_message(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let id = context.fresh_task("file:digest").await?.id;
    context.attacker.storage.garble(&context.queue, &id)?;
    Ok(Outcome::Enqueued(id))
}

pub(super) async fn truncate_envelope(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut record = context.fresh_task("file:digest").await?;
    record.envelope = record.envelope.slice(..record.envelope.len() - 1);
    context.replace(&context.queue, record).await
}

pub(super) async fn respell_envelope(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut record = context.fresh_task("file:digest").await?;
    // The head of the array of 4 in two bytes instead of one: a lenient decoder finds the same signed bytes.
    edit(&mut record, |envelope| drop(envelope.splice(1..2, [0x98, 0x04])));
    context.replace(&context.queue, record).await
}

pub(super) async fn flip_ciphertext(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut record = context.fresh_task("file:digest").await?;
    // The recipient (104 bytes) and the signature (66) follow the ciphertext with its tag.
    let place = record.envelope.len() - 66 - 104 - 16 - 1;
    edit(&mut record, |envelope| envelope.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1));
    context.replace(&context.queue, record).await
}

pub(super) async fn flip_claims(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut record = context.fresh_task("file:digest").await?;
    let found = record.envelope.windows(11).position(|window| window == b"file:digest");
    let place = found.ok_or("no type in the claims")?;
    edit(&mut record, |envelope| {
        envelope.iter_mut().skip(place).zip(b"file:delete").for_each(|(byte, forged)| *byte = *forged);
    });
    "file:delete".clone_into(&mut record.task_type);
    context.replace(&context.queue, record).await
}

pub(super) async fn retype_metadata(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let record = context.fresh_task("file:digest").await?;
    let task_type = "note:keep".to_owned();
    context.replace(&context.queue, TaskRecord { task_type, ..record }).await
}

pub(super) async fn swap_payloads(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let (mut one, mut other) =
        (context.fresh_task("file:digest").await?, context.fresh_task("file:digest").await?);
    std::mem::swap(&mut one.envelope, &mut other.envelope);
    context.attacker.replace(&context.queue, other).await?;
    context.replace(&context.queue, one).await
}

/// Changes the envelope of a record.
fn edit(record: &mut TaskRecord, change: impl FnOnce(&mut Vec<u8>)) {
    let mut envelope = record.envelope.to_vec();
    change(&mut envelope);
    record.envelope = envelope.into();
}
