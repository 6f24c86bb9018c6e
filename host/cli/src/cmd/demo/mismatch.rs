//! Which metadata of a refused task differs from its sealed claims.

use taskseal_core::Unverified;

use super::attacker::AnyError;
use super::deployment::Deployment;

/// Returns the names of the metadata that differ from the claims.
pub(super) async fn words(deployment: &Deployment, id: &str) -> Result<Vec<&'static str>, AnyError> {
    let info = deployment.broker.find(&deployment.queue, id).await?;
    let record = info.and_then(|info| info.record).ok_or("no refused task to read")?;
    let envelope = Unverified::parse(&record.envelope)?;
    let claims = envelope.danger_claims_unverified();
    let pairs = [
        ("id", record.id == claims.task_id.to_string()),
        ("type", record.task_type == claims.task_type.as_str()),
        ("queue", record.queue == deployment.queue.as_str()),
    ];
    Ok(pairs.into_iter().filter_map(|(name, is_equal)| (!is_equal).then_some(name)).collect())
}
