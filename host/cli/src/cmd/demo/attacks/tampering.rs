//! Attacks that change stored tasks.

use taskseal::Receipt;
use taskseal::broker::redis::asynq::Message;

use super::Outcome;
use super::context::{Context, FORGED_BODY};
use crate::cmd::demo::attacker::AnyError;

pub(super) async fn strip_seal(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let message = context.fresh_task("file:digest").await?;
    let id = message.id.clone();
    context.attacker.replace(&context.queue, Message { payload: FORGED_BODY.to_vec(), ..message }).await?;
    Ok(Outcome::Enqueued(id))
}

pub(super) async fn garble_message(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let id = context.fresh_task("file:digest").await?.id;
    context.attacker.storage.garble(&context.queue, &id).await?;
    Ok(Outcome::Enqueued(id))
}

pub(super) async fn truncate_envelope(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut message = context.fresh_task("file:digest").await?;
    message.payload.pop();
    let id = message.id.clone();
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

pub(super) async fn respell_envelope(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut message = context.fresh_task("file:digest").await?;
    // The head of the array of 4 in two bytes instead of one: a lenient decoder finds the same signed bytes.
    message.payload.splice(1..2, [0x98, 0x04]);
    let id = message.id.clone();
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

pub(super) async fn flip_ciphertext(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut message = context.fresh_task("file:digest").await?;
    // The recipient (104 bytes) and the signature (66) follow the ciphertext with its tag.
    let place = message.payload.len() - 66 - 104 - 16 - 1;
    *message.payload.get_mut(place).ok_or("too short to flip")? ^= 1;
    let id = message.id.clone();
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

pub(super) async fn flip_claims(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut message = context.fresh_task("file:digest").await?;
    let found = message.payload.windows(11).position(|window| window == b"file:digest");
    let place = found.ok_or("no type in the claims")?;
    message.payload.splice(place..place + 11, *b"file:delete");
    "file:delete".clone_into(&mut message.task_type);
    let id = message.id.clone();
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

pub(super) async fn retype_metadata(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let message = context.fresh_task("file:digest").await?;
    let id = message.id.clone();
    let task_type = "note:keep".to_owned();
    context.attacker.replace(&context.queue, Message { task_type, ..message }).await?;
    Ok(Outcome::Enqueued(id))
}

pub(super) async fn swap_payloads(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let (mut one, mut other) =
        (context.fresh_task("file:digest").await?, context.fresh_task("file:digest").await?);
    std::mem::swap(&mut one.payload, &mut other.payload);
    let id = one.id.clone();
    context.attacker.replace(&context.queue, one).await?;
    context.attacker.replace(&context.queue, other).await?;
    Ok(Outcome::Enqueued(id))
}
