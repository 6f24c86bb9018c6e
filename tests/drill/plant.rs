//! The deployment: a Redis, the office where the keyset is kept, a host with two workers, and the folders of producers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use redis::Commands;
use taskseal_hsm::softhsm;
use taskseal_tests::redis::RedisServer;
use taskseal_tests::token_folder::TokenFolder;
use taskseal_tests::vault::ContractVault;
use tempfile::TempDir;

use crate::program::{Run, run_with_environment};
use crate::ran::HANDLER;

/// How often hosts fetch the keyset.
pub(crate) const REFRESH: &str = "1s";

/// The operator, as `sudo` names one.
pub(crate) const OPERATOR: &str = "alice";

/// The string in Redis that carries the keyset.
const CARRIER: &str = "asynq:taskseal:keyset";

/// Folders and services of the deployment.
pub(crate) struct Plant {
    folder: TempDir,
    pub(crate) redis: RedisServer,
    pub(crate) vault: ContractVault,
    /// `None` if SoftHSM is missing.
    pub(crate) tokens: Option<TokenFolder>,
    /// The line that pins the roots.
    roots: String,
}

impl Plant {
    /// Creates the folders, the roots and the audit log of the office, and the keys that every host has.
    pub(crate) fn new(redis: RedisServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = softhsm::find_library().map(|_| TokenFolder::new());
        let mut plant = Self { folder, redis, vault: ContractVault::start(), tokens, roots: String::new() };
        for path in
            ["office/keys", "host/keys/agreement", "host/keys/result", "host/keys/shared", "host/credentials"]
        {
            plant.create_folder(path);
        }
        let mut office = format!("deployment = \"plant\"\n[broker]\nurl = \"{}\"\n", plant.redis.url());
        office += &format!("{}[audit]\nkey = \"keys/audit.key\"\n", plant.vault_section("office"));
        plant.write("office/taskseal.toml", "deployment = \"plant\"\n");
        plant.office("keygen audit --out keys/audit.key").ok();
        plant.write("office/taskseal.toml", &office);
        let init = "keyset init --name plant --root root.key --second-root second.key";
        plant.roots = plant.office(init).ok().text();
        plant.edit("office/keyset.toml", "distribution = \"10m\"", "distribution = \"3s\"");
        plant.edit("office/keyset.toml", "longest_task = \"7d\"", "longest_task = \"8s\"");
        let keys = format!("[keys]\n{}keyset = \"keyset.cose\"\n", plant.roots);
        plant.write("office/taskseal.toml", &format!("{office}{keys}"));
        plant
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn create_folder(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes a file that only its owner can read, with this mode.
    pub(crate) fn write_private(&self, name: &str, text: &str, mode: u32) {
        let _ = fs::remove_file(self.path(name));
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{from} is not in {name}");
        self.write(name, &text.replacen(from, to, 1));
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Runs a command of the operator in the office. Its arguments have no spaces.
    pub(crate) fn office(&self, arguments: &str) -> Run {
        self.office_with(arguments, b"")
    }

    /// Runs a command of the operator with this standard input.
    pub(crate) fn office_with(&self, arguments: &str, input: &[u8]) -> Run {
        let mut environment = vec![("SUDO_USER", Path::new(OPERATOR))];
        environment.extend(self.tokens.iter().flat_map(TokenFolder::environment));
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        run_with_environment(&self.path("office"), &environment, &arguments, input)
    }

    /// Runs a command on the host of the workers, with the configuration of the first.
    pub(crate) fn host(&self, arguments: &str) -> Run {
        self.host_with(&[], arguments)
    }

    pub(crate) fn host_with(&self, environment: &[(&str, &Path)], arguments: &str) -> Run {
        let arguments = format!("--config worker-a.toml {arguments}");
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let environment = [&[("SUDO_USER", Path::new(OPERATOR))], environment].concat();
        run_with_environment(&self.path("host"), &environment, &arguments, b"")
    }

    /// Generates a key with `taskseal keygen`, adds its entry to the draft as a primary key, and returns the entry.
    pub(crate) fn add_key(&self, keygen: &str) -> Key {
        self.add_entry(&format!("keygen {keygen}"))
    }

    /// Adds the entry that a command prints.
    pub(crate) fn add_entry(&self, command: &str) -> Key {
        let entry = self.office(command).ok().out.clone();
        let added = self.office_with("keyset add - --state primary --json", &entry);
        let kid = added.ok().json()["added"][0].as_str().unwrap().to_owned();
        Key { kid, entry: String::from_utf8(entry).unwrap() }
    }

    /// Signs the draft, publishes it in Redis, and returns its sequence number.
    pub(crate) fn publish(&self) -> u64 {
        self.publish_with("root.key")
    }

    pub(crate) fn publish_with(&self, root: &str) -> u64 {
        let signed = self.office(&format!("keyset sign --root {root} --json"));
        let sequence = signed.ok().json()["sequence"].as_u64().unwrap();
        self.office("keyset publish --to broker:").ok();
        sequence
    }

    /// Returns the keyset that Redis carries.
    pub(crate) fn carried(&self) -> Vec<u8> {
        self.redis.raw().get(CARRIER).unwrap()
    }

    /// Replaces the keyset that Redis carries, as every process can that can write to the queue.
    pub(crate) fn carry(&self, keyset: &[u8]) {
        let () = self.redis.raw().set(CARRIER, keyset).unwrap();
    }

    /// Writes the configuration of a host, from `[broker]` on. `keys` are more lines of `[keys]`.
    pub(crate) fn configure(&self, file: &str, keys: &str, more: &str) {
        let (url, roots) = (self.redis.url(), &self.roots);
        self.write(
            file,
            &format!(
                "deployment = \"plant\"\n[broker]\nurl = \"{url}\"\n[keys]\n{roots}keyset = \"none.cose\"\n\
                 keyset_url = \"broker:\"\nrefresh = \"{REFRESH}\"\n{keys}\n{more}"
            ),
        );
    }

    /// Writes a folder of a producer that has other keys in its keyset than the deployment: it hears of no revocation.
    pub(crate) fn configure_stranger(&self, folder: &str, issuer: &str, entries: &[&str]) {
        self.write(&format!("{folder}/keyset.toml"), &entries.join("\n"));
        let url = self.redis.url();
        self.write(
            &format!("{folder}/taskseal.toml"),
            &format!(
                "deployment = \"plant\"\n[broker]\nurl = \"{url}\"\n[client]\nissuer = \"{issuer}\"\nsuite = \"SP\"\n\
                 key = \"keys/sign\"\n"
            ),
        );
    }

    /// Returns the section that names Vault, and writes the token of this folder.
    pub(crate) fn vault_section(&self, folder: &str) -> String {
        self.write_private(&format!("{folder}/vault-token"), "root-token", 0o600);
        let address = self.vault.address();
        format!("[vault]\naddress = \"{address}\"\ntoken = \"file:vault-token\"\ntimeout = \"2s\"\n")
    }

    /// Writes what both workers have: handlers and their configurations.
    pub(crate) fn configure_workers(&self, decryption_keys: &str) {
        let handler = self.path("host/handler");
        fs::write(&handler, HANDLER).unwrap();
        fs::set_permissions(&handler, Permissions::from_mode(0o755)).unwrap();
        let vault = self.vault_section("host");
        for name in ["worker-a", "worker-b"] {
            let more = format!(
                "[fleet]\nstatus_every = \"1s\"\n[audit]\nkey = \"keys/audit.key\"\nrefusals_per_minute = 20\n\
                 [policy]\nfile = \"policy.toml\"\nsuites = [\"SP\", \"M\"]\n\
                 [worker]\nid = \"{name}\"\nconcurrency = 2\ndecryption_keys = [{decryption_keys}]\n\
                 result_suite = \"SP\"\nresult_key = \"keys/result\"\npostpone_first = \"1s\"\npostpone_longest = \"1s\"\n\
                 [[worker.queue]]\nname = \"default\"\n\
                 [[handler]]\ntype = \"file:digest\"\nprogram = [\"./handler\"]\npass_env = [\"PATH\"]\n\
                 [[handler]]\ntype = \"pay:refund\"\nprogram = [\"./handler\"]\npass_env = [\"PATH\"]\n\
                 [key_command.recipient]\nprogram = [\"./fetch\"]\ntimeout = \"2s\"\n\
                 {vault}"
            );
            self.configure(&format!("host/{name}.toml"), "shared = [\"keys/shared\"]", &more);
        }
        self.host("keygen audit --out keys/audit.key").ok();
        self.host("ledger init").ok();
    }
}

/// A key of the draft.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) kid: String,
    /// Its entry, as `keygen` printed it.
    pub(crate) entry: String,
}
