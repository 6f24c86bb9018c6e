//! The checks of an envelope.

use taskseal::config::Config;
use taskseal::handler::Handlers;
use taskseal::keys::Keyring;
use taskseal::task::queue_id;
use taskseal::time::{UnixMillis, unix_seconds};
use taskseal_core::claims::ClockSource;
use taskseal_core::keyset::KeyRecord;
use taskseal_core::keyset::signed::KeyState;
use taskseal_core::{
    KeyLookup, Kind, NameSet, OpenError, Policy, Refusal, Suite, SuiteSet, TimeWindow, Unverified,
};

use super::unsealed::Modes;
use super::{Check, QUOTA, ledger};
use crate::cmd::explain::source::Source;
use crate::failure::Failure;
use crate::{project, time_arg};

/// An envelope and what it is compared with.
struct Context<'a> {
    config: &'a Config,
    source: &'a Source,
    envelope: Unverified<'a>,
    policy: Policy<'a>,
    keyring: &'a Keyring,
    handled: &'a str,
    audience: &'a str,
}

pub(super) fn checks(
    config: &Config,
    source: &Source,
    envelope: Unverified<'_>,
) -> Result<Vec<Check>, Failure> {
    let keyring = project::inspected_keyset(config)?;
    let handled = Handlers::of_programs(config).map_err(Failure::config)?.patterns();
    let audience = config.audience(&source.queue);
    let types = NameSet::new(&handled);
    let task_type = envelope.danger_claims_unverified().task_type;
    let (set, named) = (config.policy_set(), project::audience(&audience));
    let policy = if envelope.is_detached() {
        let modes = Modes::open(config)?;
        set.for_detached_task(task_type.as_str(), named, types, |rule| modes.of(rule))
    } else {
        set.for_task(task_type.as_str(), named, types)
    };
    let context = Context {
        config,
        source,
        envelope,
        policy,
        keyring: &keyring,
        handled: &handled,
        audience: &audience,
    };
    let mut checks = context.before_the_signature();
    checks.extend(context.of_the_key());
    checks.extend(context.of_the_claims());
    checks.push(context.decryption());
    Ok(checks)
}

impl Context<'_> {
    fn before_the_signature(&self) -> Vec<Check> {
        let (envelope, policy) = (&self.envelope, &self.policy);
        let kind = |kind| if kind == Kind::Task { "task" } else { "result" };
        let batch = if envelope.is_batched() { ", in a batch" } else { "" };
        let suites = Suite::ALL.into_iter().filter(|suite| policy.suites.contains(*suite));
        let suites: Vec<&str> = suites.map(Suite::short_name).collect();
        let batches = if policy.accept_batches { ", also in batches" } else { "" };
        let is_allowed =
            policy.suites.contains(envelope.suite()) && (policy.accept_batches || !envelope.is_batched());
        let (detached, clear_body) = if envelope.is_detached() {
            (", with a clear body", " with a clear body: `detached = true`, or a mode other than \"enforce\"")
        } else {
            ("", "")
        };
        let size = format!("{} B", envelope.body_len());
        vec![
            Check::new(
                "kind",
                envelope.kind() == Kind::Task,
                Refusal::WrongKind,
                kind(envelope.kind()),
                "task",
            ),
            Check::new(
                "suite",
                is_allowed,
                Refusal::SuiteNotAllowed,
                format!("{}{batch}{detached}", envelope.suite().short_name()),
                if envelope.is_detached() {
                    format!("S{clear_body}")
                } else {
                    format!("{}{batches}", suites.join(" or "))
                },
            ),
            Check::new(
                "size",
                envelope.body_len() <= policy.max_body,
                Refusal::TooLarge,
                size,
                format!("at most {} B", policy.max_body),
            ),
        ]
    }

    fn of_the_key(&self) -> Vec<Check> {
        let kid = self.envelope.kid();
        let file = self.keyring.file().display();
        let record = self.keyring.find(kid);
        let key = self.keyring.record(kid);
        let is_destroyed = key.is_some_and(|key| key.state() == KeyState::Destroyed);
        let mut checks = vec![Check::new(
            if is_destroyed { "destroyed-key" } else { "key" },
            record.is_some(),
            Refusal::UnknownKey,
            kid.to_string(),
            format!("a key of {file}"),
        )];
        let Some(record) = record else { return checks };
        checks.push(self.signature());
        checks.push(self.validity(&record));
        checks.extend(self.rights(&record));
        checks
    }

    /// Verifies the signature alone: with a policy that accepts everything else. The refusals of other checks come after it.
    fn signature(&self) -> Check {
        let mut wide = self.policy;
        wide.kind = self.envelope.kind();
        wide.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
        wide.accept_batches = true;
        wide.max_body = taskseal_core::MAX_BODY;
        let clock = &mut TimeWindow::exact(unix_seconds());
        let verified = self.envelope.verify(self.keyring, &wide, clock);
        let is_authentic = !matches!(verified, Err(OpenError::Refused(Refusal::Rejected)));
        let found = if is_authentic { "verifies" } else { "does not verify" };
        let required = format!("verifies with key {}", self.envelope.kid());
        Check::new("signature", is_authentic, Refusal::Rejected, found, required)
    }

    fn validity(&self, record: &KeyRecord<'_>) -> Check {
        let (now, skew) = (unix_seconds(), u64::from(self.policy.skew));
        let is_valid = record.enabled
            && now.saturating_add(skew) >= record.valid_from
            && now < record.valid_until.saturating_add(skew);
        let state = self.keyring.record(self.envelope.kid()).map_or("unknown", |key| key.state().name());
        let end = match record.valid_until {
            u64::MAX => "without an end".to_owned(),
            end => format!("until {}", time(end)),
        };
        let required = format!("an accepted state; from {} {end}", time(record.valid_from));
        Check::new("key-state", is_valid, Refusal::KeyNotValid, format!("state {state}"), required)
    }

    fn rights(&self, record: &KeyRecord<'_>) -> [Check; 3] {
        let claims = self.envelope.danger_claims_unverified();
        let of = |name, refusal, names: NameSet<'_>, found: &str| {
            let patterns: Vec<&str> = names.patterns().collect();
            Check::new(name, names.contains(found), refusal, found, patterns.join(" or "))
        };
        [
            of("issuer", Refusal::IssuerNotAllowed, record.issuers, claims.issuer.as_str()),
            of("type", Refusal::TypeNotAllowed, record.types, claims.task_type.as_str()),
            of("key-audience", Refusal::AudienceNotAllowed, record.audiences, claims.audience.as_str()),
        ]
    }

    fn of_the_claims(&self) -> Vec<Check> {
        let claims = self.envelope.danger_claims_unverified();
        let (audience, task_type) = (claims.audience.as_str(), claims.task_type.as_str());
        let is_handled = NameSet::new(self.handled).contains(task_type);
        let handled = if self.handled.is_empty() {
            "a [[handler]] of this host".to_owned()
        } else {
            self.handled.replace(' ', " or ")
        };
        let mut checks = vec![
            Check::new(
                "audience",
                audience == self.audience,
                Refusal::WrongAudience,
                audience,
                self.audience,
            ),
            Check::new("handler", is_handled, Refusal::TypeNotHandled, task_type, handled),
        ];
        checks.extend(self.times());
        checks.extend(self.metadata());
        let set = self.config.policy_set();
        let rule = set.check(claims, self.envelope.kid(), &self.source.queue, unix_seconds());
        checks.push(match rule {
            Ok(()) => Check::new("rule", true, Refusal::TypeNotAllowed, "accepted", "the rule of the type"),
            Err(violation) => {
                Check::new("rule", false, violation.refusal, "not accepted", violation.to_string())
            }
        });
        checks.extend(self.quota(claims.issuer.as_str()));
        checks.push(ledger::check(self.config, claims, self.source));
        checks
    }

    /// Returns what the policy file leaves an issuer: each worker process counts for itself.
    fn quota(&self, issuer: &str) -> Option<Check> {
        let quota = self.config.rules.quota_of(issuer)?;
        let required =
            format!("at most {} tasks a minute of issuer {}", quota.tasks_per_minute, quota.issuer);
        Some(Check::unknown(QUOTA, "each worker process counts", required))
    }

    fn times(&self) -> Vec<Check> {
        let claims = self.envelope.danger_claims_unverified();
        let clock = match claims.clock {
            ClockSource::Synchronised => ("synchronised", true),
            ClockSource::Beacon => ("beacon", self.policy.accept_beacon),
            _ => ("none", self.policy.accept_clockless),
        };
        let required = if self.policy.accept_clockless { "synchronised or none" } else { "synchronised" };
        let mut checks = vec![Check::new("clock", clock.1, Refusal::ClockNotAllowed, clock.0, required)];
        let (Some(issued_at), Some(expires_at)) = (claims.issued_at, claims.expires_at) else {
            return checks;
        };
        let (now, skew) = (unix_seconds(), u64::from(self.policy.skew));
        let from = claims.not_before.unwrap_or(issued_at).max(issued_at);
        let (lifetime, longest) = (expires_at.saturating_sub(from), self.policy.max_lifetime);
        let later = now.saturating_add(skew);
        checks.extend([
            Check::new(
                "issued",
                issued_at <= later,
                Refusal::IssuedInFuture,
                time(issued_at),
                format!("not after {}", time(later)),
            ),
            Check::new(
                "lifetime",
                lifetime <= longest,
                Refusal::LifetimeTooLong,
                format!("{lifetime} s"),
                format!("at most {longest} s"),
            ),
            Check::new(
                "expiry",
                now < expires_at.saturating_add(skew),
                Refusal::Expired,
                time(expires_at),
                format!("after {}", time(now.saturating_sub(skew))),
            ),
            Check::new(
                "start",
                from <= later || claims.not_before.is_none(),
                Refusal::NotYetValid,
                time(from),
                format!("not after {}", time(later)),
            ),
        ]);
        checks
    }

    /// Compares what the queue states with the seal.
    fn metadata(&self) -> Option<Check> {
        let record = self.source.record.as_ref()?;
        let claims = self.envelope.danger_claims_unverified();
        let sealed = format!("{} {} {}", queue_id(claims), claims.task_type, self.source.queue);
        let stated = format!("{} {} {}", record.id, record.task_type, record.queue);
        Some(Check::new("metadata", stated == sealed, Refusal::MetadataMismatch, stated, sealed))
    }

    fn decryption(&self) -> Check {
        const NAME: &str = "decryption-key";
        let Some(kid) = self.envelope.recipient_kid() else {
            return Check::new(NAME, true, Refusal::NoDecryptionKey, "not encrypted", "none");
        };
        let keys = self.config.worker.iter().flat_map(|worker| &worker.decryption_keys);
        match self.keyring.with_decryption_keys(keys) {
            Ok(keyring) => {
                let kids = keyring.decryption_kids();
                let texts: Vec<String> = kids.iter().map(ToString::to_string).collect();
                let required =
                    if texts.is_empty() { "none is configured".to_owned() } else { texts.join(" or ") };
                Check::new(NAME, kids.contains(&kid), Refusal::NoDecryptionKey, kid.to_string(), required)
            }
            Err(error) => Check::unknown(NAME, kid.to_string(), error.to_string()),
        }
    }
}

fn time(seconds: u64) -> String {
    time_arg::show(UnixMillis::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
}
