//! The checks of a task that is not sealed.

use taskseal::config::Config;
use taskseal::policy::{Mode, RuleChoice, TypeRule};
use taskseal::rollout::Rollout;
use taskseal::time::UnixMillis;
use taskseal_core::Refusal;

use super::Check;
use crate::cmd::explain::source::Source;
use crate::failure::Failure;
use crate::session::setup_failure;

pub(super) fn checks(config: &Config, source: &Source) -> Result<Vec<Check>, Failure> {
    let Some(task_type) = source.stated_type() else {
        let required = "an envelope: the type of an unsealed task is known in its queue only";
        return Ok(vec![Check::new("form", false, Refusal::Unsealed, "not an envelope", required)]);
    };
    let required = "\"off\", \"observe\" or \"prefer\" in the rule of the type, for a task without a seal";
    let RuleChoice::Rule(rule) = config.rules.choose(task_type) else {
        let found = format!("type {task_type} has no rule");
        return Ok(vec![Check::new("mode", false, Refusal::Unsealed, found, required)]);
    };
    let modes = Modes::open(config)?;
    let mode = modes.of(rule);
    let sealed_before = mode == Mode::Prefer && modes.rollout.has_sealed(&source.queue, task_type);
    let found = format!(
        "\"{mode}\" for {}{}",
        rule.pattern,
        if sealed_before { ", and sealed tasks before" } else { "" }
    );
    let runs = mode != Mode::Enforce && !sealed_before;
    Ok(vec![Check::new("mode", runs, Refusal::Unsealed, found, required)])
}

/// The modes that hold on this host.
pub(super) struct Modes {
    rollout: Rollout,
}

impl Modes {
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        let rollout = config.existing_rollout().map_err(|error| setup_failure(config, error))?;
        Ok(Self { rollout })
    }

    /// Returns the mode of a rule: that of the file, or a stricter one that a worker of this host has used.
    pub(super) fn of(&self, rule: &TypeRule) -> Mode {
        self.rollout.effective(&rule.pattern, rule.mode_at(UnixMillis::now()))
    }
}
