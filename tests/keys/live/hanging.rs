//! A source of keys that does not answer while the keys are loaded again.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use taskseal::Client;
use taskseal::config::Config;
use taskseal::keys::{InvalidKeyRef, KeyError, KeyHandle, KeyRef, KeyStore, KeyStores, KeyUsage, SecretKey};
use taskseal_tests::site::{Site, task};

/// A store that opens key files, and waits for the test at its second call.
#[derive(Debug)]
struct HangingStore {
    calls: Mutex<u32>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl KeyStore for HangingStore {
    fn scheme(&self) -> &'static str {
        "hanging"
    }

    fn parse(&self, uri: &str, file: &Path) -> Result<KeyRef, InvalidKeyRef> {
        let name = uri.strip_prefix("hanging:").unwrap();
        Ok(KeyRef::new("hanging", file.parent().unwrap().join(name), uri))
    }

    fn open(&self, key: &KeyRef, _: KeyUsage) -> Result<KeyHandle, KeyError> {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        if call == 2 {
            let _ = self.go_on.lock().unwrap().recv();
        }
        Ok(KeyHandle::Secret(SecretKey::read(Path::new(key.address())).unwrap()))
    }
}

#[tokio::test]
async fn keys_that_are_loaded_from_a_source_that_does_not_answer_are_reported_as_stale() {
    let site = Site::new();
    let (go_on, waiting) = mpsc::channel();
    let store = HangingStore { calls: Mutex::default(), go_on: Mutex::new(waiting) };
    let stores = KeyStores::default().with(store);
    let file = site.path("taskseal.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("result_key = \"keys", "result_key = \"hanging:keys")).unwrap();
    let mut config = Config::load_with(&file, &stores).unwrap();
    config.key_max_stale = Duration::from_secs(2);

    let client = Client::open(&config).unwrap();
    let worker = site.start_worker_with(config, |builder| builder);
    (worker.reload)();
    // The load hangs, and the worker does not.
    worker.log.until(1, "the keys are stale").await;
    let receipt = client.enqueue(task(1)).await.unwrap();
    worker.log.until(1, &format!("succeeded {}", receipt.id)).await;
    drop(go_on);
    worker.log.until(1, "loaded the keys again").await;
    worker.stop().await;
}
