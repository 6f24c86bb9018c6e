//! Checks that the broker answers, can be written, and deletes no tasks on its own.

use std::path::Path;

use taskseal::broker::Eviction;
use taskseal::config::{BrokerConfig, Config, SetupError};

use super::Finding;
use super::state::file_fault;
use crate::failure::Failure;
use crate::session::{runtime, setup_failure};

const CHECK: &str = "broker";
const EVICTION: &str = "eviction";

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    if let BrokerConfig::Sqlite(path) = &config.broker
        && let Some(finding) = unopened_file(path)
    {
        return vec![finding];
    }
    match health(config) {
        Err(failure) => {
            vec![Finding::fail(CHECK, failure), Finding::skip(EVICTION, "the broker cannot be used")]
        }
        Ok(eviction) => vec![Finding::ok(CHECK, "it answers and can be written"), self::eviction(&eviction)],
    }
}

/// Returns what is wrong with a queue file that must not be opened, because that would create or fill it.
fn unopened_file(path: &Path) -> Option<Finding> {
    match path.symlink_metadata() {
        Err(_) => {
            let message = format!("{} does not exist yet; the first task creates it", path.display());
            Some(Finding::skip(CHECK, message))
        }
        Ok(_) => file_fault(path, 0o007).map(|failure| Finding::fail(CHECK, failure)),
    }
}

fn health(config: &Config) -> Result<Eviction, Failure> {
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let failed = |error| setup_failure(config, error);
    let broker = config.open_broker().map_err(failed)?;
    runtime.block_on(broker.health()).map_err(|error| failed(SetupError::Broker(error)))
}

fn eviction(eviction: &Eviction) -> Finding {
    match eviction {
        Eviction::Never => Finding::ok(EVICTION, "the broker deletes no tasks on its own"),
        Eviction::Policy(policy) => {
            let message = format!("maxmemory-policy {policy}: Redis deletes tasks when its memory is full");
            Finding::warn(EVICTION, message).hint("CONFIG SET maxmemory-policy noeviction")
        }
        Eviction::Unknown(reason) => {
            let message =
                format!("unknown whether the broker deletes tasks when its memory is full: {reason}");
            Finding::skip(EVICTION, message)
                .hint("set `maxmemory-policy noeviction` in the configuration of Redis")
        }
        other => Finding::skip(EVICTION, format!("{other:?}")),
    }
}
