//! Opens the tokens that the configuration names.

use taskseal::config::Config;
use taskseal::keys::{KeyRef, pkcs11};
use taskseal_hsm::{Error, KeyUri, TokenUri};

use super::Finding;
use crate::key_summary::token_failure;

const CHECK: &str = "token";

/// What was found of the tokens.
#[derive(Default)]
pub(super) struct Tokens {
    pub(super) findings: Vec<Finding>,
    /// Those without a login: their keys are not opened, because that would be another attempt.
    closed: Vec<TokenUri>,
}

impl Tokens {
    /// Returns whether the key is in a token that is not open.
    pub(super) fn is_closed(&self, key: &KeyRef) -> bool {
        token_of(key).is_some_and(|token| self.closed.contains(&token))
    }
}

/// Opens each token once.
pub(super) fn open(config: &Config) -> Tokens {
    let mut named: Vec<TokenUri> = Vec::new();
    for token in keys(config).into_iter().filter_map(token_of) {
        if !named.contains(&token) {
            named.push(token);
        }
    }
    let mut tokens = Tokens::default();
    for token in named {
        let name = token.name().to_string();
        tokens.findings.push(match pkcs11::open(&token) {
            Ok(_) => Finding::ok(CHECK, format!("{name}: logged in")),
            Err(error) => {
                tokens.closed.push(token);
                match error {
                    Error::LoginOmitted => {
                        Finding::skip(CHECK, format!("{name}: found, its PIN is readable; not logged in"))
                    }
                    error => Finding::fail(CHECK, token_failure(&error, &name)),
                }
            }
        });
    }
    tokens
}

/// Returns the secret keys that the configuration names.
fn keys(config: &Config) -> Vec<&KeyRef> {
    let (client, worker) = (config.client.as_ref(), config.worker.as_ref());
    let mut keys: Vec<&KeyRef> = Vec::new();
    if let Some(worker) = worker {
        keys.extend(&worker.decryption_keys);
    }
    let tasks = client.and_then(|client| client.sealing.as_ref());
    let results = worker.and_then(|worker| worker.result.as_ref());
    for source in [tasks, results].into_iter().flatten() {
        keys.push(&source.key);
        keys.extend(&source.encryption_key);
    }
    keys.extend(client.and_then(|client| client.result_key.as_ref()));
    keys.extend(config.audit.as_ref().and_then(|audit| audit.key.as_ref()));
    keys
}

fn token_of(key: &KeyRef) -> Option<TokenUri> {
    let uri = (key.scheme() == "pkcs11").then(|| key.address().to_str()).flatten()?;
    KeyUri::parse(uri).ok().map(|uri| uri.token_uri().clone())
}
