//! Checks whether the worker of this host would differ from the workers that run.

use taskseal::config::{BrokerConfig, Config, SetupError};
use taskseal::escape::Escaped;
use taskseal::fleet::{self, Difference, Subject};

use super::Finding;
use crate::failure::Failure;
use crate::project;
use crate::runtime;
use crate::session::setup_failure;

const CHECK: &str = "fleet";

/// Returns the line of the fleet; none on a host without a worker.
pub(super) fn finding(config: &Config, broker_is_usable: bool) -> Option<Finding> {
    config.worker.as_ref()?;
    if !broker_is_usable {
        return Some(Finding::skip(CHECK, "the broker cannot be used"));
    }
    Some(match differences(config) {
        Err(failure) => Finding::skip(CHECK, format!("cannot compare: {}", failure.into_message())),
        Ok(differences) => compared(config, &differences),
    })
}

fn differences(config: &Config) -> Result<Vec<Difference>, Failure> {
    let keyset = project::inspected_keyset(config)?;
    if let BrokerConfig::Sqlite(path) = &config.broker
        && !path.exists()
    {
        // No worker has started: opening it would create it.
        return Ok(Vec::new());
    }
    let runtime = runtime::start()?;
    let _entered = runtime.enter();
    let failed = |error: SetupError| setup_failure(config, error);
    let broker = config.open_broker().map_err(failed)?;
    runtime::block_on(&runtime, fleet::differences_with(config, &keyset, &*broker)).map_err(failed)
}

fn compared(config: &Config, differences: &[Difference]) -> Finding {
    let settings = &config.fleet;
    let lags = |found: &&Difference| matches!(found.subject, Subject::OlderKeyset { .. });
    let Some(Difference { process, subject }) =
        differences.iter().find(|found| !lags(found)).or(differences.first())
    else {
        if settings.refuse && settings.status_every.is_zero() {
            return Finding::warn(
                CHECK,
                "this worker publishes no status, and other workers cannot compare themselves",
            )
            .hint("set `status_every` in [fleet] to more than zero");
        }
        return Finding::ok(CHECK, "no worker that runs has another keyset or policy");
    };
    let message = format!("{}: {subject}", Escaped::new(process));
    let hint = "bring both to the same keyset and policy; `taskseal fleet ls` shows all";
    if settings.refuse && !differences.iter().all(|found| lags(&found)) {
        return Finding::fail(
            CHECK,
            Failure::new(format!("the worker does not start: {message}")).hint(hint),
        );
    }
    Finding::warn(CHECK, message).hint(hint)
}
