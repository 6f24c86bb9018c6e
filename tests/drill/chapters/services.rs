//! Producers whose keys stay in a token or in Vault.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use taskseal::keys::{Algorithm, SecretKey};
use tokio::task::spawn_blocking;

use super::{Drill, rights};
use crate::accounts::Accounts;
use crate::load::TYPE;
use crate::program::run_with_environment;

/// The producer whose key is in the Transit engine of Vault.
pub(crate) const SERVICE: &str = "notary";

/// The producer whose key is in a token, and the name of its first key in this story.
pub(crate) const TOKEN_KEY: &str = "till";

impl Drill {
    /// Generates the keys and writes the configurations of the producers.
    pub(super) fn create_keys_in_services(&mut self) {
        self.plant.create_folder("notary/keys");
        let file = self.plant.path("notary/key-of-the-server");
        let SecretKey::Sign(key) = SecretKey::create(&file, Algorithm::Es256, "of a server").unwrap() else {
            panic!("a key that signs")
        };
        self.plant.vault.add_signing_key("notary", *key);
        let _ = self.plant.add_entry(&format!("key entry vault://transit/keys/notary {}", rights("notary")));
        let vault = self.plant.vault_section("notary");
        self.configure_client("notary", "SP", "vault://transit/keys/notary", "", &vault);

        self.plant.create_folder("till/keys");
        let Some(uri) = self.token_uri(1) else {
            println!("SKIPPED: a key in a token: softhsm2 is missing");
            return;
        };
        self.add_key(TOKEN_KEY, &format!("sign --pkcs11 {uri} {}", rights("till")));
        self.configure_client("till", "SP", &uri, "", "");
    }

    /// Returns the URI of the key with this number; `None` without SoftHSM.
    pub(super) fn token_uri(&self, number: u8) -> Option<String> {
        self.plant.tokens.as_ref().map(|tokens| tokens.uri(&format!("token=plant;object=till-{number}")))
    }

    pub(super) fn start_producers_of_services(&mut self) {
        self.start_producer(SERVICE);
        let Some(tokens) = &self.plant.tokens else { return };
        // A process for each task: the library of the token reads its configuration from the environment.
        let environment = tokens.environment().map(|(name, value)| (name, value.to_owned()));
        let (folder, accounts) = (self.plant.path("till"), Arc::clone(&self.load.accounts));
        let producer =
            self.load.produce(TOKEN_KEY, 1, move |number| {
                let (folder, environment) = (folder.clone(), environment.clone());
                let accounts = Arc::clone(&accounts);
                async move {
                    spawn_blocking(move || enqueue(&folder, &environment, &accounts, number)).await.unwrap()
                }
            });
        self.producers.push(producer);
    }

    /// Has the producer seal with the second key in the token.
    pub(super) fn use_next_token_key(&self) {
        self.plant.edit("till/taskseal.toml", "object=till-1", "object=till-2");
    }
}

/// Enqueues one task with the program and waits for its result. A key that is not allowed at the moment seals nothing.
fn enqueue(folder: &Path, environment: &[(&str, PathBuf)], accounts: &Accounts, number: u64) -> bool {
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
    let run = |arguments: &[&str], input: &[u8]| run_with_environment(folder, &environment, arguments, input);
    let body = number.to_string();
    let enqueue = ["enqueue", "--quiet", "--queue", "default", "--type", TYPE];
    let enqueued = run(&enqueue, body.as_bytes());
    let id = enqueued.text().trim().to_owned();
    match enqueued.code {
        Some(0) => accounts.entries().good.insert(id.clone(), TOKEN_KEY.to_owned()),
        Some(3) => {
            accounts.entries().held_back += 1;
            return false;
        }
        _ => {
            accounts.fault(format!("{TOKEN_KEY}: {enqueued:?}"));
            return false;
        }
    };
    let result = run(&["result", &id, "--wait", "60s"], b"");
    let is_right = result.code == Some(0) && result.out == body.as_bytes();
    if is_right {
        accounts.entries().verified.insert(id);
    } else {
        accounts.fault(format!("{TOKEN_KEY}: task {id}: {result:?}"));
    }
    is_right
}
