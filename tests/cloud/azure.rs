//! Azure Key Vault.

mod identity;
mod vault_faults;
mod vault_keys;
mod vault_server;
