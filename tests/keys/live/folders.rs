//! References to folders of keys: the keyset chooses the one that seals, and all of them decrypt.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use taskseal::keys::{Algorithm, Keyring, SecretKey};
use taskseal_tests::fleet::until;
use taskseal_tests::site::{Site, task};

const RETIRING: &str = "state = \"retiring\"\naccept_until = \"2100-01-01T00:00:00Z\"";

/// Returns a site whose client seals with the keys in `keys/sign`, which has the key `sign/old`.
fn site() -> Site {
    let mut site = Site::new();
    site.add_key("sign/old", "task");
    site.write_keyset(&[("sign/old", ""), ("worker", "")]);
    site.write_config("keys/sign", "");
    site
}

fn fault(site: &Site) -> String {
    site.client().check_sealing_key().unwrap_err().to_string()
}

#[tokio::test]
async fn folder_without_one_key_that_may_seal_is_refused_and_its_keys_are_named() {
    let mut site = site();
    site.add_key("sign/new", "task");
    let (old, new) = (site.kid("sign/old").to_string(), site.kid("sign/new").to_string());
    site.write_keyset(&[("sign/old", RETIRING), ("worker", "")]);
    let error = fault(&site);
    assert!(error.contains(&format!("key {old} is retiring")), "{error}");
    assert!(error.contains(&format!("key {new} is not in the keyset")), "{error}");

    site.write_keyset(&[("sign/old", ""), ("sign/new", ""), ("worker", "")]);
    let error = fault(&site);
    assert!(error.contains("alike") && error.contains(&old) && error.contains(&new), "{error}");

    site.write_keyset(&[
        ("sign/old", ""),
        ("sign/new", "use_from = \"2020-01-01T00:00:00Z\""),
        ("worker", ""),
    ]);
    site.client().check_sealing_key().unwrap();
}

#[tokio::test]
async fn folder_with_another_file_than_keys_is_refused_and_hidden_files_are_ignored() {
    let site = site();
    for ignored in [".swp", "old.key~"] {
        fs::write(site.path("keys/sign").join(ignored), "no key").unwrap();
    }
    site.client().check_sealing_key().unwrap();
    fs::write(site.path("keys/sign/README"), "no key").unwrap();
    assert!(fault(&site).contains("README"), "{}", fault(&site));
    fs::remove_file(site.path("keys/sign/README")).unwrap();
    fs::remove_file(site.path("keys/sign/old.key")).unwrap();
    assert!(fault(&site).contains("the folder has no key files"), "{}", fault(&site));
}

#[tokio::test]
async fn signing_key_is_rotated_by_files_and_keyset_under_a_stream_of_tasks_and_none_is_refused() {
    let mut site = site();
    let (client, worker) = (site.client(), site.start_worker());
    let sealed = AtomicUsize::new(0);
    let seal = async || {
        client.enqueue(task(0)).await.unwrap();
        sealed.fetch_add(1, Ordering::Relaxed)
    };
    seal().await;
    site.add_key("sign/new", "task");
    let new = site.kid("sign/new").to_string();
    // Staged first: workers know the key before it seals.
    for (old_state, new_state, change) in [
        ("", "state = \"staged\"", format!("{new} added, staged")),
        (RETIRING, "", format!("{new} staged -> primary")),
        ("state = \"disabled\"", "", "retiring -> disabled".to_owned()),
    ] {
        if old_state.contains("disabled") {
            // What the old key sealed has run.
            until("the new key seals", async || {
                let envelope = client.seal(task(0)).await.unwrap().envelope;
                let unverified = taskseal_core::Unverified::parse(&envelope).unwrap();
                (unverified.kid().to_string() == new).then_some(())
            })
            .await;
            worker.log.until(sealed.load(Ordering::Relaxed), "succeeded").await;
        }
        site.write_keyset(&[("sign/old", old_state), ("sign/new", new_state), ("worker", "")]);
        while worker.log.count(&change) == 0 {
            seal().await;
        }
        seal().await;
    }
    worker.log.until(sealed.load(Ordering::Relaxed), "succeeded").await;
    let tally = worker.stop().await;
    assert_eq!((tally.refused_total(), tally.succeeded), (0, sealed.into_inner() as u64));
}

#[test]
fn every_key_of_a_folder_decrypts() {
    let site = Site::new();
    fs::create_dir(site.path("keys/decrypt")).unwrap();
    let kids = ["one", "two"].map(|name| {
        let file = site.path(&format!("keys/decrypt/{name}.key"));
        SecretKey::create(&file, Algorithm::EcdhEs, name).unwrap().kid()
    });
    let keyring = Keyring::load(&site.path("keyset.toml")).unwrap();
    let keyring = keyring.with_decryption_keys([site.path("keys/decrypt")]).unwrap();
    assert!(kids.iter().all(|kid| keyring.decryption_kids().contains(kid)));
}
