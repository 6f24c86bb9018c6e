//! What a policy file states and an operator may not intend.

use taskseal::config::Config;
use taskseal::keys::Keyring;
use taskseal::policy::{DefaultAction, Mode, PolicySet, RuleChoice, TypeRule};
use taskseal::time::UnixMillis;

use crate::time_arg;

/// Returns one sentence for each finding.
pub(super) fn find(config: &Config, policy: &PolicySet, keyset: &Keyring) -> Vec<String> {
    let mut found = Vec::new();
    if policy.rules().file().is_none() {
        found.push("no policy file: every type is accepted that has a handler and a key".to_owned());
    }
    let handled: Vec<&str> = config.programs.iter().map(|program| &*program.task_type).collect();
    found.extend(handled.iter().filter_map(|pattern| without_rule(policy, pattern)));
    for rule in policy.rules().all() {
        if !handled.is_empty() && !handled.iter().any(|pattern| overlap(pattern, &rule.pattern)) {
            found.push(format!("the rule of type {} has no [[handler]] in the configuration", rule.pattern));
        }
        found.extend(clear_body(rule));
        found.extend(unknown_kids(rule, keyset));
        found.extend(loose_mode(rule, UnixMillis::now()));
    }
    found
}

fn without_rule(policy: &PolicySet, handled: &str) -> Option<String> {
    let rules = policy.rules();
    let is_denied = rules.default_action() == DefaultAction::Deny
        && rules.choose(handled.trim_end_matches('*')) == RuleChoice::Denied;
    is_denied.then(|| match handled.ends_with('*') {
        true => format!("types of the [[handler]] {handled} have no rule: their tasks are refused"),
        false => format!("type {handled} has a [[handler]] and no rule: its tasks are refused"),
    })
}

/// Returns whether two patterns have a type in common.
fn overlap(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
        (Some(prefix), None) => other.starts_with(prefix),
        (None, Some(prefix)) => one.starts_with(prefix),
        (None, None) => one == other,
    }
}

fn unknown_kids(rule: &TypeRule, keyset: &Keyring) -> Vec<String> {
    let kids = rule.kids.iter().flatten().filter(|kid| keyset.record(**kid).is_none());
    kids.map(|kid| format!("the keyset has no key {kid}, which the rule of type {} names", rule.pattern))
        .collect()
}

fn clear_body(rule: &TypeRule) -> Option<String> {
    rule.detached.then(|| {
        format!(
            "bodies of type {} may be in clear: every process that can read the queue can read them",
            rule.pattern
        )
    })
}

fn loose_mode(rule: &TypeRule, now: UnixMillis) -> Option<String> {
    let (pattern, mode) = (&rule.pattern, rule.mode);
    if mode == Mode::Enforce {
        return None;
    }
    Some(match rule.until {
        Some(until) if now >= until => {
            format!("the mode \"{mode}\" of type {pattern} has ended: unsealed tasks are refused")
        }
        Some(until) => {
            format!("unsealed tasks of type {pattern} run (mode \"{mode}\") until {}", time_arg::show(until))
        }
        None => {
            format!("unsealed tasks of type {pattern} run (mode \"{mode}\"), and the rule has no `until`")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn patterns_without_a_common_type_do_not_overlap() {
        for (one, other) in [("a", "b"), ("a:*", "b:*"), ("a:*", "a"), ("ab", "a")] {
            assert!(!overlap(one, other) && !overlap(other, one), "{one} {other}");
        }
        for (one, other) in [("a", "a"), ("a:*", "a:b"), ("a:*", "a:b*"), ("*", "a")] {
            assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
        }
    }
}
