//! Attacks that seal or write tasks without the right to do so.

use taskseal::Receipt;
use taskseal::broker::TaskRecord;
use taskseal_core::{ContentType, Sealer};

use super::Outcome;
use super::context::{Context, FORGED_BODY, KeyUnderKid, now};
use crate::cmd::demo::attacker::AnyError;

pub(super) async fn forge_unsealed(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let id = uuid::Uuid::now_v7().to_string();
    let (task_type, queue) = ("file:digest".to_owned(), context.queue.to_string());
    let envelope = FORGED_BODY.into();
    let record = TaskRecord { task_type, id, queue, envelope, ..TaskRecord::default() };
    context.replace(&context.queue, record).await
}

pub(super) fn downgrade_suite(context: &Context<'_>) -> Result<Vec<u8>, AnyError> {
    let audience = context.audience();
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    let mut sealer = Sealer::sign(KeyUnderKid { key: context.outsider, kid: context.producer });
    let mut envelope = vec![0; sealer.sealed_len(&claims, ContentType::OCTETS, FORGED_BODY.len())];
    sealer.seal(&claims, ContentType::OCTETS, FORGED_BODY, &mut getrandom::SysRng, &mut envelope)?;
    Ok(envelope)
}

pub(super) fn forge_own_key(context: &Context<'_>) -> Result<Vec<u8>, AnyError> {
    let audience = context.audience();
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    context.seal(context.outsider, context.outsider.kid(), &claims)
}

pub(super) fn forge_known_kid(context: &Context<'_>) -> Result<Vec<u8>, AnyError> {
    let audience = context.audience();
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    context.seal(context.outsider, context.producer, &claims)
}

pub(super) fn impersonate(context: &Context<'_>) -> Result<Vec<u8>, AnyError> {
    let audience = context.audience();
    let claims = context.claims(&context.issuer, "note:keep", &audience)?;
    context.seal(context.insider, context.insider.kid(), &claims)
}

pub(super) fn overreach(context: &Context<'_>) -> Result<Vec<u8>, AnyError> {
    let audience = context.audience();
    let claims = context.claims("sensor-2", "file:digest", &audience)?;
    context.seal(context.insider, context.insider.kid(), &claims)
}

pub(super) fn cross_deployment(context: &Context<'_>) -> Result<Vec<u8>, AnyError> {
    let audience = format!("staging/{}", context.queue);
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    Ok(context.honest.seal(&claims, ContentType::OCTETS, FORGED_BODY)?)
}

pub(super) fn hold_back(context: &Context<'_>) -> Result<Vec<u8>, AnyError> {
    let audience = context.audience();
    let sealed_at = now() - 7200;
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    let claims = claims.issued_at(sealed_at).expires_at(sealed_at + 3600);
    Ok(context.honest.seal(&claims, ContentType::OCTETS, FORGED_BODY)?)
}
