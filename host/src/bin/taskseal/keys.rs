//! Opening configuration and keys for a command: the one file that knows every place a key can be in.

use taskseal::config::Config;
use taskseal::keyring::{Keyring, SealingKey, SealingSource};
use taskseal_core::Kind;

use crate::cli::Global;
use crate::ui::Failure;

/// The configuration that the command line, the environment or the current folder names.
pub(crate) fn config(global: &Global) -> Result<Config, Failure> {
    Config::load(&Config::locate(global.config.as_deref())).map_err(Failure::config)
}

/// The keyset with every decryption key that is configured.
pub(crate) fn keyring(config: &Config) -> Result<Keyring, Failure> {
    config.keyring().map_err(|error| {
        if error.file == config.keyset { Failure::config(error) } else { Failure::key(error) }
    })
}

/// The key to seal `kind` with.
pub(crate) fn sealing_key(
    keyring: &Keyring,
    source: &SealingSource,
    kind: Kind,
) -> Result<SealingKey, Failure> {
    keyring.sealing_key(source, kind).map_err(Failure::key)
}
