//! `taskseal rollout status`.

use std::time::Duration;

use serde_json::{Value, json};
use taskseal::config::Config;
use taskseal::policy::{Mode, TypeRule};
use taskseal::rollout::{QueueCounts, RefusalCount, Rollout, TypeReport};
use taskseal::time::UnixMillis;
use taskseal_core::Refusal;

use crate::failure::Failure;
use crate::output::{json, text};
use crate::session::setup_failure;
use crate::time_arg;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long no task may have been unsealed or refused for "enforce" to be safe
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration, default_value = "24h")]
    quiet_for: Duration,
}

pub(super) fn run(config: &Config, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let rollout = config.existing_rollout().map_err(|error| setup_failure(config, error))?;
    let mut reports = rollout.report().map_err(|error| setup_failure(config, error.into()))?;
    let now = UnixMillis::now();
    let mut rows = Vec::new();
    for rule in config.rules.all() {
        let found = reports.iter().position(|report| report.pattern == rule.pattern);
        let report = found.map_or_else(TypeReport::default, |at| reports.swap_remove(at));
        let status = Status::new(rule, &report, &rollout, now, args.quiet_for);
        if ui.json() {
            ui.object(status.members(&report))?;
        } else {
            rows.push(status.row());
        }
    }
    if ui.json() {
        return Ok(());
    }
    let head = ["TYPE", "MODE", "UNTIL", "SEALED", "DETACHED", "UNSEALED", "LAST UNSEALED", "SAFE", "WHY"];
    ui.text(&text::table(head, &rows))
}

/// Returns whether a refusal precedes the verification of the signature. Such envelopes are refused in every mode, and every user with
/// write access to the broker can store them: they must not keep the answer at "no".
fn is_before_signature(code: &str) -> bool {
    use Refusal::{Malformed, Rejected, SuiteNotAllowed, TooLarge, UnknownKey, WrongKind};
    let refusal = Refusal::from_code(code);
    refusal.is_some_and(|refusal| {
        matches!(refusal, TooLarge | Malformed | WrongKind | SuiteNotAllowed | UnknownKey | Rejected)
    })
}

/// What is known of one task type.
struct Status<'a> {
    rule: &'a TypeRule,
    mode: Mode,
    sealed: u64,
    /// Signed, with the body in clear.
    detached: u64,
    unsealed: u64,
    last_unsealed: Option<(UnixMillis, &'a QueueCounts)>,
    /// Why "enforce" is not safe, or is.
    verdict: Result<String, String>,
}

impl<'a> Status<'a> {
    fn new(
        rule: &'a TypeRule,
        report: &'a TypeReport,
        rollout: &Rollout,
        now: UnixMillis,
        quiet_for: Duration,
    ) -> Self {
        let mode = rollout.effective(&rule.pattern, rule.mode_at(now));
        let mode = report.strictest.map_or(mode, |strictest| mode.max(strictest));
        let sealed = report.queues.iter().map(|counts| counts.sealed).sum();
        let detached = report.queues.iter().map(|counts| counts.detached).sum();
        let unsealed = report.queues.iter().map(|counts| counts.unsealed).sum();
        let dated = report.queues.iter().filter_map(|counts| Some((counts.last_unsealed_at?, counts)));
        let last_unsealed = dated.max_by_key(|(at, _)| *at);
        let verdict = Ok(String::new());
        let mut status = Self { rule, mode, sealed, detached, unsealed, last_unsealed, verdict };
        status.verdict = status.judge(report, now, quiet_for);
        status
    }

    fn judge(&self, report: &TypeReport, now: UnixMillis, quiet_for: Duration) -> Result<String, String> {
        if self.mode == Mode::Enforce {
            return Ok("it is enforced".to_owned());
        }
        if self.sealed == 0 && self.detached == 0 {
            return Err("no sealed task was accepted".to_owned());
        }
        let is_recent = |at: UnixMillis| now.since(at) < quiet_for;
        if let Some((at, counts)) = self.last_unsealed.filter(|(at, _)| is_recent(*at)) {
            return Err(format!("unsealed in queue {} at {}", counts.queue, time_arg::show(at)));
        }
        let mut in_clear = report.queues.iter().filter_map(|counts| Some((counts.last_detached_at?, counts)));
        if let Some((at, counts)) = in_clear.find(|(at, _)| !self.rule.detached && is_recent(*at)) {
            let at = time_arg::show(at);
            return Err(format!(
                "body in clear in queue {} at {at}, without `detached = true`",
                counts.queue
            ));
        }
        let recent = report.refused.iter().filter(|refused| is_recent(refused.last_at));
        let (unsigned, signed): (Vec<_>, Vec<_>) =
            recent.partition(|refused| is_before_signature(&refused.code));
        let codes = |refused: Vec<&RefusalCount>| {
            let codes: Vec<_> = refused.iter().map(|one| format!("{} {}", one.count, one.code)).collect();
            codes.join(", ")
        };
        match (signed.is_empty(), unsigned.is_empty()) {
            (false, _) => Err(format!("refused: {}", codes(signed))),
            (true, true) => Ok("all recent tasks are sealed and accepted".to_owned()),
            (true, false) => {
                let codes = codes(unsigned);
                Ok(format!(
                    "all recent tasks with a valid signature are accepted; in every mode refused: {codes}"
                ))
            }
        }
    }

    fn row(&self) -> [String; 9] {
        let none = || "-".to_owned();
        let last = |(at, counts): (UnixMillis, &QueueCounts)| {
            let id = counts.last_unsealed_id.as_deref().unwrap_or("-");
            format!("{} {} {id}", time_arg::show(at), counts.queue)
        };
        let (safe, why) = match &self.verdict {
            Ok(why) => ("yes", why),
            Err(why) => ("no", why),
        };
        [
            self.rule.pattern.clone(),
            self.mode.name().to_owned(),
            self.rule.until.map_or_else(none, time_arg::show),
            match self.share() {
                Some(share) => format!("{} ({share:.1} %)", self.sealed),
                None => self.sealed.to_string(),
            },
            self.detached.to_string(),
            self.unsealed.to_string(),
            self.last_unsealed.map_or_else(none, last),
            safe.to_owned(),
            why.clone(),
        ]
    }

    /// Returns the share of accepted tasks that are sealed, in percent.
    #[expect(clippy::cast_precision_loss, reason = "an approximate value is enough")]
    fn share(&self) -> Option<f64> {
        let total = self.sealed.saturating_add(self.detached).saturating_add(self.unsealed);
        (total > 0).then(|| 100.0 * self.sealed as f64 / total as f64)
    }

    fn members(&self, report: &TypeReport) -> Vec<json::Member> {
        let (safe, why) = match &self.verdict {
            Ok(why) => (true, why),
            Err(why) => (false, why),
        };
        let time = |at: Option<UnixMillis>| at.map(time_arg::show);
        let queue = |counts: &QueueCounts| {
            json::nested(vec![
                ("queue", json!(counts.queue)),
                ("sealed", json!(counts.sealed)),
                ("detached", json!(counts.detached)),
                ("unsealed", json!(counts.unsealed)),
                ("last_sealed_at", json!(time(counts.last_sealed_at))),
                ("last_detached_at", json!(time(counts.last_detached_at))),
                ("last_unsealed_at", json!(time(counts.last_unsealed_at))),
                ("last_unsealed_id", json!(counts.last_unsealed_id)),
            ])
        };
        let refused = |code: &str, count: u64, at: UnixMillis| {
            let reason = Refusal::from_code(code).map(|refusal| refusal.to_string());
            json::nested(vec![
                ("code", json!(code)),
                ("reason", json!(reason)),
                ("count", json!(count)),
                ("last_at", json!(time_arg::show(at))),
            ])
        };
        let refusals = report.refused.iter().map(|one| refused(&one.code, one.count, one.last_at));
        vec![
            ("type", json!(self.rule.pattern)),
            ("mode", json!(self.mode.name())),
            ("until", json!(time(self.rule.until))),
            ("sealed", json!(self.sealed)),
            ("detached", json!(self.detached)),
            ("unsealed", json!(self.unsealed)),
            ("share_sealed_percent", json!(self.share())),
            ("queues", Value::Array(report.queues.iter().map(queue).collect())),
            ("refused", Value::Array(refusals.collect())),
            ("safe_to_enforce", json!(safe)),
            ("why", json!(why)),
        ]
    }
}
