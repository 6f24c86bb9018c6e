//! Seals with the own keys and verifies the result with the own keyset and policy: a wrong public key, a missing right or an
//! expired key is found before the first task is refused.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use taskseal::config::Config;
use taskseal::keys::{Draft, Keyring, KeysetKey, NoRecipient, NotSealed, Record, SealingKey};
use taskseal::policy::{RuleChoice, TypeRule, TypeRules};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, Kind, NameSet, OpenError, Policy, SuiteSet, TaskType, Unverified,
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
    let (queues, examples) = (queues(config, keyset, key), types(config, keyset, key));
    let (mut accepted, mut refused, mut total) = (BTreeSet::new(), Vec::new(), 0);
    for example in &examples {
        for queue in &queues_of(config, keyset, key, &example.task_type).unwrap_or_else(|| queues.clone()) {
            total += 1;
            match probe.task(queue, &example.task_type) {
                Ok(()) => {
                    accepted.insert(&*example.task_type);
                }
                Err(failure) => refused.push((queue.clone(), example.clone(), failure)),
            }
        }
    }
    let failed = refused.len();
    if failed < total {
        // The key may seal types of other producers as well.
        refused.retain(|(_, example, _)| !example.is_of_rule);
    }
    match refused.into_iter().next() {
        None => {
            let types = accepted.into_iter().collect::<Vec<_>>().join(", ");
            Finding::ok(check, format!("key {kid}: its tasks of type {types} are accepted"))
        }
        Some((queue, example, failure)) => {
            let message = format!(
                "key {kid}: a task of type {} in queue {queue} is refused: {}",
                example.task_type, failure.message
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

/// Results that have no recipient.
pub(super) struct Unreadable {
    pub(super) first: NoRecipient,
    /// Whether no result has one.
    pub(super) is_every: bool,
}

/// Checks the key of the worker for each queue and task type that it serves, and each issuer that may make requests. Returns the
/// results that could be encrypted to no key: an issuer need not ask for results.
pub(super) fn results(
    config: &Config,
    keyset: &Keyring,
    key: &SealingKey,
) -> Result<Option<Unreadable>, Failure> {
    let probe = Probe { config, keyset, key };
    let (mut missing, mut total) = (Vec::new(), 0);
    for queue in &queues(config, keyset, key) {
        for Example { task_type, .. } in types(config, keyset, key) {
            for issuer in requesters(keyset, &config.audience(queue), &task_type) {
                total += 1;
                missing.extend(probe.result(queue, &task_type, &issuer).map_err(|failure| {
                    let reason = &failure.message;
                    let message =
                        format!("a result of type {task_type} in queue {queue} is refused: {reason}");
                    Failure { message, ..failure }
                })?);
            }
        }
    }
    let is_every = missing.len() == total;
    Ok(missing.into_iter().next().map(|first| Unreadable { first, is_every }))
}

/// Returns the issuers that the keyset allows to make requests of a type in a queue. A key for every issuer stands for those whose
/// results have a recipient.
fn requesters(keyset: &Keyring, audience: &str, task_type: &str) -> Vec<String> {
    let issuers = |of: &dyn Fn(&Record) -> bool| {
        let keys = keyset.records().filter(|record| of(record) && record.state().is_accepted());
        let keys =
            keys.filter(|record| record.types().contains(task_type) && record.audiences().contains(audience));
        let issuers = keys.flat_map(|record| record.issuers().patterns().collect::<Vec<_>>());
        issuers.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let decrypts = |record: &Record| matches!(record.key(), KeysetKey::EcdhEs(_));
    let mut named = issuers(&|record| record.kind() == Kind::Task && !decrypts(record));
    named.retain(|issuer| !issuer.ends_with('*'));
    if named.is_empty() {
        named = issuers(&|record| record.kind() == Kind::Result && decrypts(record));
    }
    if named.is_empty() {
        named.insert("check".to_owned());
    }
    named.into_iter().map(|issuer| issuer.replace('*', "check")).collect()
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

/// Returns the queues of the rule of a task type for which the key may seal, on a host that only seals. `None` if the rule accepts
/// every queue, or none of those.
fn queues_of(config: &Config, keyset: &Keyring, key: &SealingKey, task_type: &str) -> Option<Vec<QueueName>> {
    let set = config.policy_set();
    let RuleChoice::Rule(TypeRule { queues: Some(queues), .. }) = set.rules().choose(task_type) else {
        return None;
    };
    let allowed = keyset.record(key.kid()).map_or(NameSet::NONE, |record| record.audiences());
    let queues = queues.iter().filter(|queue| allowed.contains(&config.audience(queue)));
    let queues: Vec<_> = queues.cloned().collect();
    (config.worker.is_none() && !queues.is_empty()).then_some(queues)
}

/// A task type to try.
#[derive(Clone)]
struct Example {
    task_type: String,
    /// Whether the pattern of a handler or of a key covers it, and a rule of the policy file names it.
    is_of_rule: bool,
}

/// Returns a task type for each handler, or on a host without handlers for each type that the key may seal. For a pattern these are
/// the types of the rules that it covers: another type may be denied.
fn types(config: &Config, keyset: &Keyring, key: &SealingKey) -> Vec<Example> {
    let handled: Vec<&str> = config.programs.iter().map(|program| &*program.task_type).collect();
    let allowed = || keyset.record(key.kid()).map_or(NameSet::NONE, |record| record.types()).patterns();
    let patterns = if handled.is_empty() { allowed().collect() } else { handled };
    let set = config.policy_set();
    patterns.into_iter().flat_map(|pattern| examples(set.rules(), pattern)).collect()
}

fn examples(rules: &TypeRules, pattern: &str) -> Vec<Example> {
    let of_pattern = Example { task_type: pattern.replace('*', "check"), is_of_rule: false };
    let Some(prefix) = pattern.strip_suffix('*') else { return vec![of_pattern] };
    if rules.choose(&of_pattern.task_type) != RuleChoice::Denied {
        return vec![of_pattern];
    }
    let covered = rules.all().iter().filter(|rule| rule.pattern.starts_with(prefix));
    let covered =
        covered.map(|rule| Example { task_type: rule.pattern.replace('*', "check"), is_of_rule: true });
    let covered: Vec<_> = covered.collect();
    // No rule accepts what the key may seal: the refusal tells it.
    if covered.is_empty() { vec![of_pattern] } else { covered }
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
        self.verify(&Draft::new(&claims, ContentType::OCTETS, b""), &policy)?;
        set.check(&claims, self.key.kid(), queue, now()).map_err(|violation| {
            Failure::refused(format!("{} ({}): {violation}", violation.refusal, violation.refusal.code()))
                .hint("change the rule in the file that `file` in [policy] names")
        })
    }

    /// Returns the recipient that a result lacks, if that is all.
    fn result(
        &self,
        queue: &QueueName,
        task_type: &str,
        requester: &str,
    ) -> Result<Option<NoRecipient>, Failure> {
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
        let claims = claims.request(request);
        let requester = Issuer::new(requester).map_err(|error| Failure::usage(error.to_string()))?;
        let draft = Draft::new(&claims, ContentType::OCTETS, b"").answering(requester);
        match self.key.check_recipient(&draft) {
            Ok(()) => self.verify(&draft, &policy).map(|()| None),
            Err(missing) => Ok(Some(missing)),
        }
    }

    /// Seals an empty body and verifies the envelope.
    fn verify(&self, draft: &Draft<'_>, policy: &Policy<'_>) -> Result<(), Failure> {
        let envelope = self.key.seal_draft(draft).map_err(|error| match error {
            NotSealed::Recipient(missing) => Failure::refused(missing.to_string()).hint(missing.hint()),
            _ => Failure::unavailable(format!("cannot seal: {error}")),
        })?;
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
