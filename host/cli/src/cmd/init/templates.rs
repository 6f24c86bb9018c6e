//! The files of a new project.

use super::keys::Keys;
use crate::keyset_entry::quoted;

/// A handler that computes the SHA-256 digest of the body.
pub(super) const HANDLER: &str = r#"#!/bin/sh
# Runs tasks of type file:digest. Standard input is the body, standard output the result.
set -eu
if command -v sha256sum >/dev/null; then
    digest=$(sha256sum)
else
    digest=$(shasum -a 256)
fi
printf '{"sha256":"%s"}\n' "${digest%% *}"
"#;

/// The body of the first task.
pub(super) const SAMPLE: &str = "Bytes worth sealing.\n";

pub(super) const GITIGNORE: &str =
    "# Secret keys, the queue and the state of this host must not be committed.
/keys/
/queue/
/state/
";

/// Returns the content of `taskseal.toml`.
pub(super) fn configuration(deployment: &str, keys: &Keys) -> String {
    let [producer_key, worker_key, worker_sign_key, reader_key] =
        [&keys.producer, &keys.worker, &keys.worker_sign, &keys.reader].map(|key| quoted(&key.location));
    format!(
        r#"# All parts on one machine. In production the producer has its own key and that of the reader, the worker has the
# others, and both have keyset.toml.
deployment = "{deployment}"

[broker]
# Without a URL the queue is a file, queue/queue.db. Programs that can write to the queue must not be able to write to
# the state folder.
# url = "rediss://taskseal@redis.example:6380/0"
# password_file = "redis-password"

[client]
issuer = "producer"
suite = "SP"
key = {producer_key}
result_key = {reader_key}
lifetime = "24h"
attempts = 25
retention = "24h"
# Maximum number of tasks under one signature, for many tasks or a slow token. Above 1, every worker needs
# `batches = true` in [policy].
# sign_batch = 64

[worker]
id = "worker"
decryption_keys = [{worker_key}]
result_suite = "SP"
result_key = {worker_sign_key}

[[worker.queue]]
name = "default"

[policy]
suites = ["SP"]
# batches = true
max_lifetime = "24h"
max_body = "1MiB"

[[handler]]
type = "file:digest"
program = ["./handlers/digest"]
pass_env = ["PATH"]
timeout = "1m"
"#
    )
}
