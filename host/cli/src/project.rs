//! The configuration and the keys of a command.

use taskseal::ClientSettings;
use taskseal::config::Config;
use taskseal::keys::{Keyring, SealingKey};
use taskseal_core::{Audience, Issuer};

use crate::failure::Failure;
use crate::global::Global;
use crate::key_stores;

/// Loads the configuration that the option, the environment or the current folder names.
pub(crate) fn config(global: &Global) -> Result<Config, Failure> {
    Config::load_with(&Config::locate(global.config.as_deref()), &key_stores::all()).map_err(Failure::config)
}

/// Loads the keyset and every configured decryption key.
pub(crate) fn keyring(config: &Config) -> Result<Keyring, Failure> {
    config.keyring().map_err(Failure::keyring)
}

/// Loads the keyset alone, which is enough to seal and to verify.
pub(crate) fn keyset(config: &Config) -> Result<Keyring, Failure> {
    config.load_keyset().map_err(Failure::keyring)
}

/// Loads the keyset alone, for checks: nothing is written.
pub(crate) fn inspected_keyset(config: &Config) -> Result<Keyring, Failure> {
    config.inspect_keyset().map_err(Failure::keyring)
}

/// Loads the key that seals tasks.
pub(crate) fn task_key(config: &Config, keyring: &Keyring) -> Result<SealingKey, Failure> {
    config.task_key(keyring).map_err(Failure::sealing_key)
}

/// Returns the audience that the configuration composed of deployment and queue.
pub(crate) fn audience(text: &str) -> Audience<'_> {
    Audience::new(text).expect("a deployment of up to 63 and a queue of up to 64 characters fit")
}

/// Returns the issuer of the configuration.
pub(crate) fn issuer(client: &ClientSettings) -> Issuer<'_> {
    Issuer::new(&client.issuer).expect("the configuration was checked when it was read")
}
