//! Keys of sources that state how long they are valid, and of servers whose tokens end.
#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use taskseal_tests::fleet::until;
use taskseal_tests::site::{Site, task};
use taskseal_tests::vault::ContractVault;

/// An interval that no test waits for.
const REFRESH: &str = "[keys]\nrefresh = \"1d\"\n";

/// Writes a program that prints the key of the producer, with this time to live in seconds, and notes each run.
fn write_program(site: &Site, time_to_live: u64) {
    let secret = fs::read_to_string(site.path("keys/producer.key")).unwrap();
    let reply = json!({ "v": 1, "secret": secret, "ttl": time_to_live });
    fs::write(site.path("reply.json"), reply.to_string()).unwrap();
    let folder = site.path("").display().to_string();
    let script = format!("#!/bin/sh\necho run >> '{folder}/runs'\ncat '{folder}/reply.json'\n");
    fs::write(site.path("fetch"), script).unwrap();
    fs::set_permissions(site.path("fetch"), Permissions::from_mode(0o700)).unwrap();
}

fn runs(site: &Site) -> usize {
    fs::read_to_string(site.path("runs")).unwrap().lines().count()
}

#[tokio::test]
async fn key_is_fetched_again_before_the_time_to_live_that_its_source_states() {
    let site = Site::new();
    write_program(&site, 2);
    let command = "[key_command.producer]\nprogram = [\"./fetch\"]\n";
    site.write_config("exec:producer", &format!("{command}{REFRESH}"));
    let client = site.client();
    client.seal(task(1)).await.unwrap();
    until("the key to be fetched again", async || (runs(&site) >= 3).then_some(())).await;
    client.check_sealing_key().unwrap();
}

#[tokio::test]
async fn token_of_an_idle_client_is_renewed_before_it_ends() {
    let site = Site::new();
    let server = ContractVault::start();
    server.lease(6);
    server.put("producer", json!({ "key": fs::read_to_string(site.path("keys/producer.key")).unwrap() }));
    fs::write(site.path("token"), "root-token").unwrap();
    fs::set_permissions(site.path("token"), Permissions::from_mode(0o600)).unwrap();
    let vault = format!("[vault]\naddress = \"{}\"\ntoken = \"file:token\"\n", server.address());
    site.write_config("vault://secret/data/producer", &format!("{vault}{REFRESH}"));
    let client = site.client();
    client.seal(task(1)).await.unwrap();
    until("the token to be renewed twice", async || {
        (server.count("POST auth/token/renew-self") >= 2).then_some(())
    })
    .await;
    client.check_sealing_key().unwrap();
    assert_eq!(server.violations(), Vec::<String>::new());
}
