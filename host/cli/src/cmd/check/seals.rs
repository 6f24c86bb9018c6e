//! Seals with the own keys and verifies the result with the own keyset and policy: a wrong public key, a missing right or an
//! expired key is found before the first task is refused.

use sha2::{Digest, Sha256};
use taskseal::config::Config;
use taskseal::keys::{Keyring, KeysetKey, SealingKey};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, NameSet, OpenError, Policy, SuiteSet, TaskType, Unverified,
};

use super::Finding;
use crate::failure::Failure;
use crate::refusal_hint::refusal_hint;
use crate::{project, task_arg};

/// Checks the key of the client for each queue and task type of this configuration.
pub(super) fn tasks(check: &'static str, config: &Config, keyset: &Keyring, key: &SealingKey) -> Finding {
    let kid = key.kid();
    if keyset.record(kid).is_some_and(|record| matches!(record.key(), KeysetKey::Named(..))) {
        let message = format!("key {kid} opens; only a host that has its secret can verify with it");
        return Finding::skip(check, message);
    }
    let probe = Probe { config, keyset, key };
    let types = types(config, keyset, key);
    let queues = queues(config, keyset, key);
    let mut refused = Vec::new();
    for queue in &queues {
        for task_type in &types {
            if let Err(failure) = probe.task(queue, task_type) {
                refused.push((queue, task_type, failure));
            }
        }
    }
    let (failed, total) = (refused.len(), queues.len() * types.len());
    match refused.into_iter().next() {
        None => Finding::ok(check, format!("key {kid}: its tasks of type {} are accepted", types.join(", "))),
        Some((queue, task_type, failure)) => {
            let message = format!(
                "key {kid}: a task of type {task_type} in queue {queue} is refused: {}",
                failure.message
            );
            if failed == total {
                return Finding::fail(check, Failure { message, ..failure });
            }
            // A client need not seal everything that the worker of its host runs.
            Finding::warn(check, message)
                .hint("add the right to its [[key]] entry, if this host seals such tasks")
        }
    }
}

/// Checks the key of the worker for each queue and task type that it serves.
pub(super) fn results(config: &Config, keyset: &Keyring, key: &SealingKey) -> Result<(), Failure> {
    let probe = Probe { config, keyset, key };
    for queue in &queues(config, keyset, key) {
        for task_type in types(config, keyset, key) {
            probe.result(queue, &task_type).map_err(|failure| {
                let message =
                    format!("a result of type {task_type} in queue {queue} is refused: {}", failure.message);
                Failure { message, ..failure }
            })?;
        }
    }
    Ok(())
}

/// Returns the queues of the worker, or on a host that only seals one for each audience that the key may seal for.
fn queues(config: &Config, keyset: &Keyring, key: &SealingKey) -> Vec<QueueName> {
    if let Some(worker) = &config.worker {
        return worker.queues.iter().map(|queue| queue.name.clone()).collect();
    }
    let allowed = keyset.record(key.kid()).map_or(NameSet::NONE, |record| record.audiences());
    let names = allowed.patterns().filter_map(|pattern| {
        let (deployment, queue) = pattern.split_once('/').unwrap_or((pattern, "*"));
        let same = deployment == config.deployment || deployment.ends_with('*');
        same.then(|| QueueName::parse(&queue.replace('*', "check")).ok()).flatten()
    });
    let names: Vec<_> = names.collect();
    // None fits: the refusal of the default queue tells why.
    if names.is_empty() { config.client.iter().map(|client| client.queue.clone()).collect() } else { names }
}

/// Returns a task type for each handler, or on a host without handlers for each type that the key may seal.
fn types(config: &Config, keyset: &Keyring, key: &SealingKey) -> Vec<String> {
    let handled: Vec<&str> = config.programs.iter().map(|program| &*program.task_type).collect();
    let allowed = || keyset.record(key.kid()).map_or(NameSet::NONE, |record| record.types()).patterns();
    let patterns = if handled.is_empty() { allowed().collect() } else { handled };
    patterns.into_iter().map(|pattern| pattern.replace('*', "check")).collect()
}

/// Seals with a key of this host, and verifies with its keyset and policy.
struct Probe<'a> {
    config: &'a Config,
    keyset: &'a Keyring,
    key: &'a SealingKey,
}

impl Probe<'_> {
    fn task(&self, queue: &QueueName, task_type: &str) -> Result<(), Failure> {
        let client = self.config.client().map_err(Failure::config)?;
        let audience = self.config.audience(queue);
        let claims =
            claims(project::issuer(client), task_arg::task_type(task_type)?, project::audience(&audience))?;
        // A lifetime that the policy does not accept is found as well.
        let claims = claims.expires_at(now().saturating_add(client.lifetime.as_secs()));
        let set = self.config.policy_set();
        let policy = set.for_task(task_type, project::audience(&audience), NameSet::ANY);
        self.verify(&claims, &policy)?;
        set.check(&claims, self.key.kid(), queue, now()).map_err(|violation| {
            Failure::refused(format!("{} ({}): {violation}", violation.refusal, violation.refusal.code()))
                .hint("change the rule in the file that `file` in [policy] names")
        })
    }

    fn result(&self, queue: &QueueName, task_type: &str) -> Result<(), Failure> {
        let worker = self.config.worker().map_err(Failure::config)?;
        let audience = self.config.audience(queue);
        let issuer = Issuer::new(&worker.id).map_err(|error| Failure::usage(error.to_string()))?;
        let request = Sha256::digest(b"taskseal check").into();
        let claims = claims(issuer, task_arg::task_type(task_type)?, project::audience(&audience))?;
        let mut policy = self.config.policy.for_results(project::audience(&audience), request);
        if self.config.client.is_none() {
            // Its own list of suites is for tasks; clients have the one for results.
            policy.suites = SuiteSet::NONE.with(self.key.suite());
        }
        self.verify(&claims.request(request), &policy)
    }

    /// Seals an empty body and verifies the envelope.
    fn verify(&self, claims: &Claims<'_>, policy: &Policy<'_>) -> Result<(), Failure> {
        let sealed = self.key.seal(claims, ContentType::OCTETS, b"");
        let envelope = sealed.map_err(|error| Failure::unavailable(format!("cannot seal: {error}")))?;
        let clock = &mut taskseal::time::clock();
        let verified =
            Unverified::parse(&envelope).and_then(|envelope| envelope.verify(self.keyset, policy, clock));
        match verified {
            Ok(_) => Ok(()),
            Err(OpenError::Refused(refusal)) => {
                Err(Failure::refused(format!("{refusal} ({})", refusal.code())).hint(refusal_hint(refusal)))
            }
            Err(error) => Err(Failure::unavailable(error.to_string())),
        }
    }
}

fn claims<'a>(
    issuer: Issuer<'a>,
    task_type: TaskType<'a>,
    audience: Audience<'a>,
) -> Result<Claims<'a>, Failure> {
    let claims = Claims::new(issuer, task_type, audience, task_arg::id(None)?);
    Ok(claims.issued_at(now()).expires_at(now().saturating_add(60)))
}

fn now() -> u64 {
    u64::try_from(UnixMillis::now().as_secs()).unwrap_or(0)
}
