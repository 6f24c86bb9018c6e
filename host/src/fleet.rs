//! Agreement of the fleet: what each process runs with, published through the broker and signed.
//!
//! A worker publishes its [`ProcessStatus`] at intervals, signed by the key of its results, and compares itself with the
//! others. A client does so with the key of its tasks, and compares nothing. So an operator sees whether a new keyset or policy has reached every process before the next step of a rotation.
//!
//! # Security
//! The broker can withhold a status, or repeat one until it expires; it cannot change one or make one up. That no process is
//! seen to lag behind is therefore not proof: keep to the time of distribution as well.

mod compare;
mod reader;
mod seal;
mod status;

use std::time::Duration;

pub use self::compare::{Difference, Subject, differences, disagreements};
pub use self::reader::StatusReader;
pub use self::seal::{Member, Unproven, open, seal};
pub use self::status::{ProcessStatus, Role};

use crate::broker::{Broker, BrokerError};
use crate::config::{Config, SetupError};
use crate::keys::Keyring;
use crate::policy::PolicySet;
use crate::time::unix_seconds;

/// Returns how long a status is kept that is replaced `every` so often: a process that ended without notice is listed for this
/// time. Two statuses may be missing.
#[must_use]
pub fn keep(every: Duration) -> Duration {
    every.saturating_mul(3).saturating_add(Duration::from_secs(5))
}

/// Maximum time for which a status is kept.
const MAX_KEEP: Duration = Duration::from_secs(4 * 3600);

/// Returns the newest status of each process that the broker has, opened with the keys of `keyring`, in the order of roles and names,
/// then what proves nothing.
///
/// # Errors
/// [`BrokerError`].
pub async fn members(
    broker: &dyn Broker,
    keyring: &Keyring,
    deployment: &str,
) -> Result<Vec<Result<Member, Unproven>>, BrokerError> {
    let statuses = broker.statuses().await?;
    Ok(StatusReader::default().read(&statuses, keyring, deployment, unix_seconds()))
}

/// Returns how the worker of `config` would differ from the workers that run. A producer does not count: its key must not be able to
/// keep workers from starting.
///
/// # Errors
/// [`SetupError`] if there is no worker, the keyset cannot be used, or the broker does not answer.
pub async fn differences_of_a_new_worker(
    config: &Config,
    broker: &dyn Broker,
) -> Result<Vec<Difference>, SetupError> {
    differences_with(config, &config.load_keyset()?, broker).await
}

/// Returns how the worker of `config` would differ with this keyset.
///
/// # Errors
/// [`SetupError`] if there is no worker, or the broker does not answer.
pub async fn differences_with(
    config: &Config,
    keyring: &Keyring,
    broker: &dyn Broker,
) -> Result<Vec<Difference>, SetupError> {
    let worker = config.worker()?;
    let policy = PolicySet::new(worker.policy.clone(), worker.rules.clone());
    let own = ProcessStatus::of_this_process(Role::Worker, &worker.id, unix_seconds(), keyring);
    let own = own.with_policy(&policy, &worker.rules);
    let members = members(broker, keyring, &config.deployment).await?;
    let workers = members.iter().flatten().filter(|member| member.status.role == Role::Worker);
    Ok(differences(&own, workers))
}

#[cfg(test)]
mod tests;
