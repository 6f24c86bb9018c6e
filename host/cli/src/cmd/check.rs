//! `taskseal check`: checks what this host needs before its service starts.

mod audit;
mod broker;
mod clock;
mod finding;
mod fleet;
mod keys;
mod keyset;
mod programs;
mod seals;
mod state;
mod tokens;

use taskseal::config::Config;
use taskseal::keys::pkcs11;
use taskseal_hsm::LoginRule;

use self::finding::{Finding, Verdict};
use crate::failure::{Exit, Failure};
use crate::global::Global;
use crate::project;
use crate::ui::Ui;

/// Check configuration, keys, programs, queue, state and clock of this host
///
/// Prints one line for each check: `ok`, `warn`, `skip` or `fail`, with the next step. It creates no files and runs no task.
/// It logs in to a token only if that has counted no wrong PIN since its last login, so that a wrong PIN costs one attempt
/// however often the command runs. Exits with 0 if no check failed, with 7 if one failed because of a PIN, else with the exit
/// code of the first one that failed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal check --config /etc/taskseal/taskseal.toml")]
pub(crate) struct Args {
    /// Do not log in to tokens: their keys are not checked
    #[arg(long)]
    no_login: bool,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    pkcs11::set_login_rule(if args.no_login { LoginRule::Never } else { LoginRule::UnlessCounted });
    let findings = match project::config(global) {
        Err(failure) => vec![Finding::fail(CONFIGURATION, failure)],
        Ok(config) => findings(&config),
    };
    if ui.json() {
        ui.object(vec![("checks", findings.iter().map(Finding::object).collect())])?;
    } else {
        ui.text(&findings.iter().map(Finding::text).collect::<String>())?;
    }
    verdict(&findings)
}

/// Returns why clients with the keyset of this worker refuse its results; `None` if they do not, or if a key cannot be opened.
pub(super) fn refused_results(config: &Config) -> Option<String> {
    let keyset = project::inspected_keyset(config).ok()?;
    let key = config.result_key(&keyset).ok()?;
    match seals::results(config, &keyset, &key) {
        Ok(unreadable) => unreadable.map(|unreadable| unreadable.first.to_string()),
        Err(failure) => Some(failure.into_message()),
    }
}

const CONFIGURATION: &str = "configuration";

fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(CONFIGURATION, config.file.display().to_string())];
    findings.push(clock::finding(config));
    let tokens = tokens::open(config);
    findings.extend(keys::findings(config, &tokens));
    let audit = audit::finding(config, &tokens);
    findings.extend(tokens.findings);
    findings.extend(programs::findings(config));
    let broker = broker::findings(config);
    let is_usable = !broker.iter().any(|finding| matches!(finding.verdict, Verdict::Fail(_)));
    findings.extend(broker);
    findings.extend(fleet::finding(config, is_usable));
    findings.extend(state::findings(config));
    findings.extend(audit);
    findings
}

fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    let failed: Vec<(Exit, &str)> = findings
        .iter()
        .filter_map(|finding| match finding.verdict {
            Verdict::Fail(exit) => Some((exit, finding.check)),
            _ => None,
        })
        .collect();
    let of_a_pin = failed.iter().find(|(exit, _)| *exit == Exit::PinRefused);
    match of_a_pin.or(failed.first()) {
        None => Ok(()),
        Some((exit, check)) => {
            let message =
                format!("{} of {} checks failed, among them `{check}`", failed.len(), findings.len());
            Err(Failure { exit: *exit, message, hint: Some("see the lines with `fail`".to_owned()) })
        }
    }
}
