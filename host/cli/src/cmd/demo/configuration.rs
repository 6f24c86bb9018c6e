//! The configuration in the folder of the demonstration, so that other commands can read what it keeps.

use taskseal::QueueName;

use super::deployment::{DEPLOYMENT, DeploymentKeys, PRODUCER, SUITE, WORKER};
use crate::keyset_entry::quoted;

/// Returns the content of `taskseal.toml`.
pub(super) fn configuration(keys: &DeploymentKeys, queues: [&QueueName; 2]) -> String {
    let [producer, worker, worker_results, reader] =
        [&keys.producer, &keys.worker, &keys.worker_results, &keys.reader].map(|key| quoted(&key.location));
    let (worker_kid, reader_kid) = (keys.worker.kid, keys.reader.kid);
    let [queue, other_queue] = queues;
    format!(
        r#"# Written by `taskseal demo`, for commands that look at what it left: `taskseal quarantine ls`, `taskseal task ls`.
# Queues on a Redis were removed at the end of the demonstration.
deployment = "{DEPLOYMENT}"

[client]
issuer = "{PRODUCER}"
suite = "{SUITE}"
key = {producer}
recipient = "{worker_kid}"
result_key = {reader}

[worker]
id = "{WORKER}"
decryption_keys = [{worker}]
result_suite = "{SUITE}"
result_key = {worker_results}
result_recipient = "{reader_kid}"

[[worker.queue]]
name = "{queue}"

[[worker.queue]]
name = "{other_queue}"

[policy]
suites = ["{SUITE}"]
"#
    )
}
