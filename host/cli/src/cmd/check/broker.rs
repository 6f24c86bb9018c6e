//! Checks that the broker answers, can be written, and deletes no tasks on its own.

use taskseal::broker::Eviction;
use taskseal::config::{BrokerConfig, Config, SetupError};

use super::Finding;
use super::state::file_fault;
use crate::failure::Failure;
use crate::runtime;
use crate::session::setup_failure;

const CHECK: &str = "broker";
const EVICTION: &str = "eviction";

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    match health(config) {
        Err(failure) => {
            vec![Finding::fail(CHECK, failure), Finding::skip(EVICTION, "the broker cannot be used")]
        }
        Ok(eviction) => vec![Finding::ok(CHECK, "it answers and can be written"), self::eviction(&eviction)],
    }
}

fn health(config: &Config) -> Result<Eviction, Failure> {
    let runtime = runtime::start()?;
    let _entered = runtime.enter();
    let failed = |error| setup_failure(config, error);
    if let BrokerConfig::Sqlite(path) = &config.broker
        && path.symlink_metadata().is_ok()
        && let Some(failure) = file_fault(path, 0o007)
    {
        return Err(failure);
    }
    let broker = config.open_broker().map_err(failed)?;
    runtime::block_on(&runtime, broker.health()).map_err(|error| failed(SetupError::Broker(error)))
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
