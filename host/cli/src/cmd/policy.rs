//! `taskseal policy`: checks a policy file and shows what it accepts.

mod warnings;

use std::path::PathBuf;

use serde_json::json;
use taskseal::config::Config;
use taskseal::policy::{DefaultAction, PolicySet, TypeRule, TypeRules};
use taskseal_core::Suite;

use crate::failure::Failure;
use crate::global::Global;
use crate::output::{json, text};
use crate::ui::Ui;
use crate::{project, time_arg};

/// Check a policy file and show what it accepts
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal policy check")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what is accepted of each task type, and warn about what may not be intended
    ///
    /// Warns about types with a handler and without a rule, rules without a handler, keys that the keyset does not have, and
    /// modes in which unsealed tasks run. Prints the fingerprint, which hosts with the same policy have in common.
    #[command(after_help = "Example:\n  taskseal policy check policy.toml")]
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The policy file; the one of the configuration by default
    file: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = project::config(global)?;
    let Command::Check(Check { file }) = &args.command;
    let rules = match file {
        Some(file) => TypeRules::load(file).map_err(Failure::config)?,
        None => config.rules.clone(),
    };
    check(&config, &PolicySet::new(config.policy.clone(), rules), ui)
}

fn check(config: &Config, policy: &PolicySet, ui: &Ui) -> Result<(), Failure> {
    let keyset = project::inspected_keyset(config)?;
    let warnings = warnings::find(config, policy, &keyset);
    let default = match policy.rules().default_action() {
        DefaultAction::Deny => "deny",
        _ => "allow",
    };
    let fingerprint = policy.fingerprint().to_string();
    if ui.json() {
        for rule in policy.rules().all() {
            ui.object(members(policy, rule))?;
        }
        for quota in policy.rules().quotas() {
            ui.object(vec![
                ("issuer", json!(quota.issuer)),
                ("tasks_per_minute", json!(quota.tasks_per_minute)),
            ])?;
        }
        return ui.object(vec![
            ("default", json!(default)),
            ("fingerprint", json!(fingerprint)),
            ("warnings", json!(warnings)),
        ]);
    }
    let head = ["TYPE", "MODE", "SUITES", "ISSUERS", "QUEUES", "KIDS", "AGE", "LIFETIME", "BODY"];
    let rows: Vec<_> = policy.rules().all().iter().map(|rule| row(policy, rule)).collect();
    ui.text(&text::table(head, &rows))?;
    for quota in policy.rules().quotas() {
        ui.text(&format!("issuer {}: {} tasks a minute\n", quota.issuer, quota.tasks_per_minute))?;
    }
    ui.text(&format!("other types: {default}\nfingerprint: {fingerprint}\n"))?;
    warnings.iter().for_each(|warning| ui.warn(warning));
    Ok(())
}

fn row(policy: &PolicySet, rule: &TypeRule) -> [String; 9] {
    let settings = policy.settings_of(rule);
    let mode = match rule.until {
        Some(until) => format!("{} until {}", rule.mode, time_arg::show(until)),
        None => rule.mode.to_string(),
    };
    let suites = suites(policy, rule).join(" ");
    let batches = if settings.batches { " batches" } else { "" };
    let detached = if rule.detached { " detached" } else { "" };
    [
        rule.pattern.clone(),
        mode,
        format!("{suites}{batches}{detached}"),
        rule.issuers.clone().unwrap_or_else(|| "all".to_owned()),
        listed(rule.queues.as_deref()),
        listed(rule.kids.as_deref()),
        rule.max_age.map_or_else(|| "-".to_owned(), |age| format!("{} s", age.as_secs())),
        format!("{} s", settings.max_lifetime.as_secs()),
        format!("{} B", settings.max_body),
    ]
}

fn suites(policy: &PolicySet, rule: &TypeRule) -> Vec<&'static str> {
    let accepted = policy.settings_of(rule).suites;
    Suite::ALL.into_iter().filter(|suite| accepted.contains(*suite)).map(Suite::short_name).collect()
}

fn listed(values: Option<&[impl ToString]>) -> String {
    let Some(values) = values else { return "all".to_owned() };
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(" ") }
}

fn members(policy: &PolicySet, rule: &TypeRule) -> Vec<json::Member> {
    let settings = policy.settings_of(rule);
    let texts = |values: &[_]| values.iter().map(ToString::to_string).collect::<Vec<String>>();
    vec![
        ("type", json!(rule.pattern)),
        ("mode", json!(rule.mode.name())),
        ("until", json!(rule.until.map(time_arg::show))),
        ("suites", json!(suites(policy, rule))),
        ("batches", json!(settings.batches)),
        ("detached", json!(rule.detached)),
        ("issuers", json!(rule.issuers.as_ref().map(|issuers| issuers.split(' ').collect::<Vec<_>>()))),
        (
            "queues",
            json!(rule.queues.as_ref().map(|queues| queues.iter().map(|q| q.as_str()).collect::<Vec<_>>())),
        ),
        ("kids", json!(rule.kids.as_deref().map(texts))),
        ("max_age_seconds", json!(rule.max_age.map(|age| age.as_secs()))),
        ("max_lifetime_seconds", json!(settings.max_lifetime.as_secs())),
        ("max_body_bytes", json!(settings.max_body)),
    ]
}
