//! Attacks that change stored tasks.

use taskseal::Receipt;
use taskseal::broker::TaskRecord;

use super::Outcome;
use super::context::{Context, FORGED_BODY};
use crate::cmd::demo::attacker::AnyError;

pub(super) fn strip_seal(record: &mut TaskRecord) -> Result<(), AnyError> {
    record.envelope = FORGED_BODY.into();
    Ok(())
}

pub(super) async fn garble_message(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let id = context.fresh_task("file:digest").await?.id;
    context.attacker.storage.garble(&context.queue, &id)?;
    Ok(Outcome::Enqueued(id))
}

pub(super) fn truncate_envelope(record: &mut TaskRecord) -> Result<(), AnyError> {
    record.envelope = record.envelope.slice(..record.envelope.len() - 1);
    Ok(())
}

pub(super) fn respell_envelope(record: &mut TaskRecord) -> Result<(), AnyError> {
    // The head of the array of 4 in two bytes instead of one: a lenient decoder finds the same signed bytes.
    edit(record, |envelope| drop(envelope.splice(1..2, [0x98, 0x04])));
    Ok(())
}

pub(super) fn flip_ciphertext(record: &mut TaskRecord) -> Result<(), AnyError> {
    // The recipient (104 bytes) and the signature (66) follow the ciphertext with its tag.
    let place = record.envelope.len() - 66 - 104 - 16 - 1;
    edit(record, |envelope| envelope.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1));
    Ok(())
}

pub(super) fn flip_claims(record: &mut TaskRecord) -> Result<(), AnyError> {
    let found = record.envelope.windows(11).position(|window| window == b"file:digest");
    let place = found.ok_or("no type in the claims")?;
    edit(record, |envelope| {
        envelope.iter_mut().skip(place).zip(b"file:delete").for_each(|(byte, forged)| *byte = *forged);
    });
    "file:delete".clone_into(&mut record.task_type);
    Ok(())
}

pub(super) fn retype_metadata(record: &mut TaskRecord) -> Result<(), AnyError> {
    "note:keep".clone_into(&mut record.task_type);
    Ok(())
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
