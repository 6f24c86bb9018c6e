use taskseal_core::{Issuer, Suite, SuiteSet, TaskId, TaskType};

use super::*;

const NOW: u64 = 1_800_000_000;

fn rules(default: DefaultAction, rules: Vec<TypeRule>) -> PolicySet {
    PolicySet::new(PolicySettings::default(), TypeRules::new("policy.toml".into(), default, rules))
}

fn rule(pattern: &str) -> TypeRule {
    TypeRule { pattern: pattern.to_owned(), ..TypeRule::default() }
}

fn claims(task_type: &'static str) -> Claims<'static> {
    let (issuer, audience) = (Issuer::new("shop").unwrap(), Audience::new("test/mail").unwrap());
    let claims =
        Claims::new(issuer, TaskType::new(task_type).unwrap(), audience, TaskId::from_bytes([7; 16]));
    claims.issued_at(NOW - 100).expires_at(NOW + 1000)
}

fn pattern_of<'a>(policy: &'a PolicySet, task_type: &str) -> Option<&'a str> {
    match policy.rules().choose(task_type) {
        RuleChoice::Rule(rule) => Some(&rule.pattern),
        _ => None,
    }
}

#[test]
fn type_without_a_rule_is_refused_by_a_file_that_denies() {
    let kid = KeyId::from_bytes([1; 8]);
    let queue = QueueName::parse("mail").unwrap();
    let check = |policy: &PolicySet| policy.check(&claims("invoice:pay"), kid, &queue, NOW);
    let denied = check(&rules(DefaultAction::Deny, vec![rule("email:*")])).unwrap_err();
    assert_eq!(denied.refusal, taskseal_core::Refusal::TypeNotAllowed);
    assert_eq!(check(&rules(DefaultAction::Allow, vec![rule("email:*")])), Ok(()));
    assert_eq!(check(&PolicySet::default()), Ok(()));
}

#[test]
fn whole_type_takes_precedence_over_a_prefix_and_a_longer_prefix_over_a_shorter_one() {
    let policy = rules(DefaultAction::Deny, vec![rule("email:*"), rule("email:send"), rule("*"), rule("e*")]);
    for (task_type, pattern) in [
        ("email:send", "email:send"),
        ("email:sender", "email:*"),
        ("email:", "email:*"),
        ("email", "e*"),
        ("invoice", "*"),
    ] {
        assert_eq!(pattern_of(&policy, task_type), Some(pattern), "{task_type}");
    }
    assert_eq!(pattern_of(&rules(DefaultAction::Deny, vec![rule("email:send")]), "email:sen"), None);
}

#[test]
fn rule_replaces_only_what_it_states() {
    let suites = SuiteSet::NONE.with(Suite::S);
    let narrow = TypeRule { suites: Some(suites), max_body: Some(10), ..rule("email:*") };
    let policy = rules(DefaultAction::Allow, vec![narrow]);
    let audience = Audience::new("test/mail").unwrap();
    let of = |task_type| policy.for_task(task_type, audience, NameSet::ANY);
    let (email, other) = (of("email:send"), of("invoice"));
    assert!(email.suites.contains(Suite::S) && !email.suites.contains(Suite::Se));
    assert_eq!((email.max_body, email.max_lifetime), (10, 86_400));
    assert!(other.suites.contains(Suite::Se) && !other.suites.contains(Suite::S));
    assert_eq!((other.max_body, policy.largest_body()), (1 << 20, 1 << 20));
}

#[test]
fn task_ends_with_its_maximum_age_if_that_is_earlier_than_its_expiry() {
    let limited = |seconds| {
        let max_age = Some(Duration::from_secs(seconds));
        rules(DefaultAction::Allow, vec![TypeRule { max_age, ..rule("email:*") }])
    };
    assert_eq!(limited(300).ends_at(&claims("email:send")), Some(NOW + 200));
    assert_eq!(limited(5000).ends_at(&claims("email:send")), Some(NOW + 1000));
    assert_eq!(limited(300).ends_at(&claims("invoice")), Some(NOW + 1000));
}

#[test]
fn fingerprint_depends_on_every_field_and_on_no_order() {
    let kid = |byte| KeyId::from_bytes([byte; 8]);
    let queue = |name| QueueName::parse(name).unwrap();
    let full = TypeRule {
        suites: Some(SuiteSet::NONE.with(Suite::S)),
        batches: Some(true),
        issuers: Some("a b".to_owned()),
        queues: Some(vec![queue("x"), queue("y")]),
        kids: Some(vec![kid(1), kid(2)]),
        max_age: Some(Duration::from_secs(5)),
        max_lifetime: Some(Duration::from_secs(6)),
        max_body: Some(7),
        mode: Mode::Observe,
        until: Some(UnixMillis(9000)),
        ..rule("email:*")
    };
    let of =
        |changed: TypeRule| rules(DefaultAction::Deny, vec![changed, rule("z")]).fingerprint().to_string();
    let usual = of(full.clone());
    assert_eq!(usual.len(), 16);
    let changed = [
        TypeRule { pattern: "email:".to_owned(), ..full.clone() },
        TypeRule { suites: None, ..full.clone() },
        TypeRule { batches: None, ..full.clone() },
        TypeRule { issuers: None, ..full.clone() },
        TypeRule { issuers: Some(String::new()), ..full.clone() },
        TypeRule { queues: Some(Vec::new()), ..full.clone() },
        TypeRule { queues: None, ..full.clone() },
        TypeRule { kids: Some(vec![kid(1)]), ..full.clone() },
        TypeRule { max_age: None, ..full.clone() },
        TypeRule { max_lifetime: None, ..full.clone() },
        TypeRule { max_body: None, ..full.clone() },
        TypeRule { mode: Mode::Prefer, ..full.clone() },
        TypeRule { until: None, ..full.clone() },
    ];
    for changed in changed {
        assert_ne!(of(changed.clone()), usual, "{changed:?}");
    }
    let reordered = TypeRule {
        issuers: Some("b a".to_owned()),
        queues: Some(vec![queue("y"), queue("x")]),
        kids: Some(vec![kid(2), kid(1)]),
        ..full.clone()
    };
    assert_eq!(of(reordered), usual);
    let reversed = rules(DefaultAction::Deny, vec![rule("z"), full.clone()]);
    assert_eq!(reversed.fingerprint().to_string(), usual);
    let allowing = rules(DefaultAction::Allow, vec![full, rule("z")]);
    assert_ne!(allowing.fingerprint().to_string(), usual);
}

#[test]
fn fingerprint_depends_on_quotas() {
    let of = |quotas: &[(&str, u32)]| {
        let quota = |(issuer, count): &(&str, u32)| IssuerQuota {
            issuer: (*issuer).to_owned(),
            tasks_per_minute: *count,
        };
        let quotas = quotas.iter().map(quota).collect();
        let rules = TypeRules::with_quotas("policy.toml".into(), DefaultAction::Deny, Vec::new(), quotas);
        PolicySet::new(PolicySettings::default(), rules).fingerprint().to_string()
    };
    let usual = of(&[("a", 1), ("b", 2)]);
    assert_eq!(of(&[("b", 2), ("a", 1)]), usual);
    for other in [of(&[]), of(&[("a", 1)]), of(&[("a", 2), ("b", 2)]), of(&[("a*", 1), ("b", 2)])] {
        assert_ne!(other, usual);
    }
}
