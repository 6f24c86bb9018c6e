//! Files that an operator writes: any bytes are an answer with line and hint, never a crash.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::LazyLock;

use taskseal::config::Config;
use taskseal::keys::{Keyring, SecretKey};
use tempfile::TempDir;

/// One folder a process; replaced at each run.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a folder for scratch files"));

fn with_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let path = FOLDER.path().join(format!("{:?}-{name}", std::thread::current().id()));
    let _ = fs::remove_file(&path);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(bytes)).expect("a scratch file can be written");
    read(&path)
}

/// A configuration that is read has a deployment that names audiences; one that is not says why.
pub(super) fn config(bytes: &[u8]) {
    match with_file("taskseal.toml", bytes, Config::load) {
        Ok(config) => assert!(!config.deployment.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A keyset that is read has one record a kid; one that is not says why.
pub(super) fn keyset(bytes: &[u8]) {
    match with_file("keyset.toml", bytes, Keyring::load) {
        Ok(keyring) => {
            let mut kids: Vec<_> = keyring.known_kids().map(|kid| *kid.as_bytes()).collect();
            let count = kids.len();
            kids.sort_unstable();
            kids.dedup();
            assert_eq!(kids.len(), count);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A secret key file that is read shows no secret; one that is not says why, without its content. One that is wrapped may
/// show the name of its wrapping key; no token is opened, because only the environment can name a library.
pub(super) fn secret_key(bytes: &[u8]) {
    let shown = match with_file("key.pem", bytes, SecretKey::read) {
        Ok(key) => format!("{key:?}"),
        Err(error) => error.to_string(),
    };
    let text = String::from_utf8_lossy(bytes);
    // Before the block stand comments, whose words the name of a wrapping key may happen to hold.
    let block = text.lines().skip_while(|line| !line.starts_with("-----BEGIN"));
    // Only Base64 can be a secret: other lines may repeat the words of a message, or the path in it.
    let is_base64 = |line: &str| {
        line.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
    };
    let secret = block.filter(|line| line.len() >= 24 && is_base64(line));
    secret.for_each(|line| assert!(!shown.contains(line)));
}
