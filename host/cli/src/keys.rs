//! Opening configuration and keys for a command: the one file that knows every place a key can be in.

use taskseal::config::Config;
use taskseal::keys::{Keyring, SealingKey};

use crate::cli::Global;
use crate::ui::Failure;

/// The configuration that the command line, the environment or the current folder names.
pub(crate) fn config(global: &Global) -> Result<Config, Failure> {
    Config::load(&Config::locate(global.config.as_deref())).map_err(Failure::config)
}

/// The keyset with every decryption key that is configured.
pub(crate) fn keyring(config: &Config) -> Result<Keyring, Failure> {
    config.keyring().map_err(Failure::keyring)
}

/// The keyset alone: to seal, and to verify what others sealed, needs no decryption key.
pub(crate) fn keyset(config: &Config) -> Result<Keyring, Failure> {
    Keyring::load(&config.keyset).map_err(Failure::keyring)
}

/// The key to seal tasks with.
pub(crate) fn task_key(config: &Config, keyring: &Keyring) -> Result<SealingKey, Failure> {
    config.task_key(keyring).map_err(Failure::key)
}
