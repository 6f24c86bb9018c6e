//! Checks the keyset and opens each key that the configuration names.

use taskseal::config::Config;
use taskseal::keys::{KeyErrorKind, KeyRef, Keyring, KeyringError, SealingSource};
use taskseal_core::Kind;

use super::seals::Unreadable;
use super::tokens::Tokens;
use super::{Finding, keyset as keyset_check, seals};
use crate::failure::Failure;
use crate::project;

const KEYSET: &str = "keyset";
const DECRYPTION_KEY: &str = "decryption-key";
const TASK_KEY: &str = "task-key";
const RESULT_KEY: &str = "result-key";

pub(super) fn findings(config: &Config, tokens: &Tokens) -> Vec<Finding> {
    let keyset = match project::inspected_keyset(config) {
        Err(failure) => {
            let missing = |check| Finding::skip(check, "the keyset cannot be used");
            return vec![
                Finding::fail(KEYSET, failure),
                missing(DECRYPTION_KEY),
                missing(TASK_KEY),
                missing(RESULT_KEY),
            ];
        }
        Ok(keyset) => keyset,
    };
    let mut findings = keyset_check::findings(config, &keyset);
    let tasks = config.worker.iter().flat_map(|worker| &worker.decryption_keys);
    let results = config.client.iter().flat_map(|client| &client.result_key);
    findings.extend(tasks.map(|key| decryption_key(&keyset, key, Kind::Task, tokens)));
    findings.extend(results.map(|key| decryption_key(&keyset, key, Kind::Result, tokens)));
    let tasks = config.client.as_ref().and_then(|client| client.sealing.as_ref());
    findings.push(match tasks {
        None => Finding::skip(TASK_KEY, "no `key` in [client]: this host seals no tasks"),
        Some(source) => closed(TASK_KEY, source, tokens).unwrap_or_else(|| task_key(config, &keyset)),
    });
    let results = config.worker.as_ref().and_then(|worker| worker.result.as_ref());
    findings.push(match results {
        None => Finding::skip(RESULT_KEY, "no `result_key` in [worker]: this host seals no results"),
        Some(source) => closed(RESULT_KEY, source, tokens).unwrap_or_else(|| result_key(config, &keyset)),
    });
    findings
}

/// Opens a key that decrypts. `kind` is what it decrypts.
fn decryption_key(keyset: &Keyring, key: &KeyRef, kind: Kind, tokens: &Tokens) -> Finding {
    let name = named(key);
    if tokens.is_closed(key) {
        return Finding::skip(DECRYPTION_KEY, format!("{name}: {NOT_OPEN}"));
    }
    let opened = match keyset.with_decryption_keys([key]) {
        Err(error) => return key_failure(DECRYPTION_KEY, &name, error.into()),
        Ok(opened) => opened,
    };
    let shared = keyset.decryption_kids();
    let Some(kid) = opened.decryption_kids().into_iter().find(|kid| !shared.contains(kid)) else {
        // A shared key that the keyset names as well.
        return Finding::ok(DECRYPTION_KEY, name);
    };
    let message = format!("{name}: key {kid}");
    match keyset.record(kid) {
        None => Finding::warn(DECRYPTION_KEY, format!("{message} is not in the keyset of this host"))
            .hint("add its [[key]] entry to the keyset of each host that encrypts to it"),
        Some(record) if !record.state().is_accepted() => {
            let failure = Failure::new(format!("{message} is {} in the keyset", record.state()));
            Finding::fail(
                DECRYPTION_KEY,
                failure.hint("remove it from the configuration, or change its `state`"),
            )
        }
        Some(record) if record.kind() != kind => {
            let (found, needed) = if kind == Kind::Result { ("task", "result") } else { ("result", "task") };
            let failure =
                Failure::usage(format!("{message} has `use = \"{found}\"` in the keyset, not \"{needed}\""));
            Finding::fail(
                DECRYPTION_KEY,
                failure.hint("name a key whose [[key]] entry has the `use` of the field"),
            )
        }
        Some(_) => Finding::ok(DECRYPTION_KEY, message),
    }
}

fn task_key(config: &Config, keyset: &Keyring) -> Finding {
    match config.task_key(keyset) {
        Err(error) => key_failure(TASK_KEY, "client.key", error),
        Ok(key) => seals::tasks(TASK_KEY, config, keyset, &key),
    }
}

fn result_key(config: &Config, keyset: &Keyring) -> Finding {
    match config.result_key(keyset) {
        Err(error) => key_failure(RESULT_KEY, "worker.result_key", error),
        Ok(key) => match seals::results(config, keyset, &key) {
            Err(failure) => Finding::fail(RESULT_KEY, failure),
            Ok(None) => Finding::ok(RESULT_KEY, format!("key {}: its results are accepted", key.kid())),
            Ok(Some(Unreadable { first, is_every: true })) => {
                Finding::fail(RESULT_KEY, Failure::refused(first.to_string()).hint(first.hint()))
            }
            Ok(Some(Unreadable { first, .. })) => {
                Finding::warn(RESULT_KEY, first.to_string()).hint(first.hint())
            }
        },
    }
}

/// Returns the line of a key that is not opened, because its token is not open.
fn closed(check: &'static str, source: &SealingSource, tokens: &Tokens) -> Option<Finding> {
    let keys = std::iter::once(&source.key).chain(&source.encryption_key);
    let closed = keys.into_iter().find(|key| tokens.is_closed(key))?;
    Some(Finding::skip(check, format!("{}: {NOT_OPEN}", named(closed))))
}

fn key_failure(check: &'static str, name: &str, error: KeyringError) -> Finding {
    match &error {
        KeyringError::Key(fault) if fault.kind == KeyErrorKind::LoginOmitted => {
            Finding::skip(check, format!("{name}: {NOT_OPEN}"))
        }
        _ => Finding::fail(check, Failure::keyring(error)),
    }
}

fn named(key: &KeyRef) -> String {
    match key.field() {
        Some(field) => format!("{field} ({key})"),
        None => key.to_string(),
    }
}

const NOT_OPEN: &str = "its token is not open";
