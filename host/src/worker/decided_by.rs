//! The policy that a task was verified by. If another one holds when the task is about to start, the next delivery decides by that.

use super::shared::Shared;
use crate::policy::{Mode, PolicySet, RuleChoice};
use crate::time::UnixMillis;

/// What the policy stated of the type of a task when it was verified.
#[derive(Clone, Debug)]
pub(super) struct DecidedBy {
    policy: PolicySet,
    /// The mode of the rule: it may change with time alone.
    mode: Option<Mode>,
}

impl DecidedBy {
    /// Creates it for a sealed task, whose mode is the present one.
    pub(super) fn sealed(shared: &Shared, policy: &PolicySet, task_type: &str) -> Self {
        Self { policy: policy.clone(), mode: mode_of(shared, policy, task_type) }
    }

    /// Creates it for an unsealed task that `mode` lets run.
    pub(super) fn unsealed(policy: &PolicySet, mode: Mode) -> Self {
        Self { policy: policy.clone(), mode: Some(mode) }
    }

    /// Returns whether `policy` is the same, and the mode of the type too.
    pub(super) fn holds(&self, shared: &Shared, policy: &PolicySet, task_type: &str) -> bool {
        self.policy.is_same(policy) && self.mode == mode_of(shared, policy, task_type)
    }
}

fn mode_of(shared: &Shared, policy: &PolicySet, task_type: &str) -> Option<Mode> {
    match policy.rules().choose(task_type) {
        RuleChoice::Rule(rule) => {
            Some(shared.rollout.effective(&rule.pattern, rule.mode_at(UnixMillis::now())))
        }
        _ => None,
    }
}
