//! Keys in Vault, against a server that was written from the documentation of its API.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod credentials;
mod outages;
mod secrets;
mod tls;
mod transit;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;

use taskseal::Config;
use taskseal::keys::{Algorithm, KeyError, KeyHandle, KeyUsage, SecretKey};
use taskseal_core::keys::SigningKey;
use taskseal_tests::vault::ContractVault;

/// What must appear in no message and no `Debug`.
const CANARIES: [&str; 4] = ["root-token", "hunter2", "hvs.issued", "TASKSEAL SECRET KEY"];

/// A server, and the folder of a configuration that names it.
struct Site {
    server: ContractVault,
    folder: tempfile::TempDir,
}

impl Site {
    /// A site whose process has a token in a file. `lines` are more lines of `[vault]`.
    fn new(lines: &str) -> Self {
        let site = Self::without_token(&format!("token = \"file:token\"\n{lines}"));
        site.secret("token", "root-token\n");
        site
    }

    fn without_token(lines: &str) -> Self {
        Self::of(ContractVault::start(), lines)
    }

    fn of(server: ContractVault, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = server.address();
        let text = format!("deployment = \"plant\"\n[vault]\naddress = \"{address}\"\n{lines}");
        fs::write(folder.path().join("taskseal.toml"), text).unwrap();
        Self { server, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of secrets.
    fn secret(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
    }

    /// A process that has read the configuration.
    fn host(&self) -> Config {
        Config::load(&self.path("taskseal.toml")).unwrap()
    }

    /// Generates a key; returns it and the content of its file.
    fn key(&self, algorithm: Algorithm) -> (SecretKey, String) {
        let path =
            self.path(&format!("{algorithm}-{}.key", fs::read_dir(self.folder.path()).unwrap().count()));
        let key = SecretKey::create(&path, algorithm, "test").unwrap();
        (key, fs::read_to_string(path).unwrap())
    }

    fn signing_key(&self) -> SigningKey {
        let (SecretKey::Sign(key), _) = self.key(Algorithm::Es256) else { panic!("another key") };
        *key
    }
}

/// A request that the documentation does not allow fails the test that has caused it.
impl Drop for Site {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_eq!(self.server.violations(), Vec::<String>::new());
        }
    }
}

fn open(host: &Config, uri: &str, usage: KeyUsage) -> Result<KeyHandle, KeyError> {
    match host.key_stores.parse(uri, &host.file) {
        Ok(key) => host.key_stores.open(&key, usage),
        Err(error) => panic!("{uri}: {error}"),
    }
}

/// Opens a key that must fail, and checks that neither error nor stores show a secret.
fn refused(host: &Config, uri: &str, usage: KeyUsage) -> KeyError {
    let error = open(host, uri, usage).unwrap_err();
    not_shown(&format!("{error} {error:?} {host:?}"));
    error
}

fn not_shown(text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
}
