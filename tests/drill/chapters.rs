//! What the chapters share: the deployment, its workers and its load.

mod carrier;
mod end;
mod revocation;
mod rollout;
mod root;
mod rotation;
mod services;
mod sources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use taskseal_tests::redis::RedisServer;

use crate::load::{Load, Producer};
use crate::plant::{Key, Plant};
use crate::ran::{self, Ran};
use crate::waiting::until;
use crate::worker::WorkerProcess;

/// Rights of a key for the tasks of an issuer.
pub(crate) fn rights(issuer: &str) -> String {
    format!("--issuer {issuer} --type * --audience plant/*")
}

/// The story so far.
pub(crate) struct Drill {
    plant: Plant,
    load: Load,
    workers: Vec<WorkerProcess>,
    producers: Vec<Producer>,
    forger: Option<Producer>,
    /// Keys of the keyset by purpose.
    keys: BTreeMap<&'static str, Key>,
    begin: Instant,
}

/// Sources of keys that decrypt. Each has the recipient key of the producer with this name.
pub(crate) const SOURCES: [&str; 4] = ["cred", "env", "exec", "vault"];

impl Drill {
    /// Sets the deployment up. `None` without Redis.
    pub(crate) fn begin() -> Option<Self> {
        let begin = Instant::now();
        let redis = RedisServer::start_or_skip()?;
        let (plant, load) = (Plant::new(redis), Load::new());
        let (workers, producers, forger, keys) = (Vec::new(), Vec::new(), None, BTreeMap::new());
        let mut drill = Self { plant, load, workers, producers, forger, keys, begin };
        drill.create_keys();
        drill.tell("begin", "1 queue, 2 workers, 1 keyset with 2 roots".to_owned());
        Some(drill)
    }

    fn create_keys(&mut self) {
        for name in ["shop", "mill", "kiosk", "cred", "env", "exec", "vault"] {
            for folder in ["keys/sign", "keys/shared"] {
                self.plant.create_folder(&format!("{name}/{folder}"));
            }
        }
        let shared = format!("shared --suite M --out ../mill/keys/shared/1.key {}", rights("mill"));
        self.add_key("shared", &shared);
        self.carry_shared_key("1.key");
        let result = format!("sign --use result --out ../host/keys/result/1.key {}", rights("worker-*"));
        self.add_key("result", &result);
        let agreement = format!(
            "receive --out ../host/keys/agreement/1.key {} --issuer till --issuer notary",
            rights("shop")
        );
        self.add_key("agreement", &agreement);
        let stolen = format!("receive --out ../host/keys/agreement/kiosk.key {}", rights("kiosk"));
        self.add_key("kiosk recipient", &stolen);
        for (name, out) in [("signing", "shop"), ("kiosk", "kiosk")] {
            let sign = format!("sign --out ../{out}/keys/sign/1.key {}", rights(out));
            self.add_key(name, &sign);
        }
        for name in SOURCES {
            self.add_key(name, &format!("sign --out ../{name}/keys/sign/1.key {}", rights(name)));
            let recipient = format!("receive --out keys/{name}.key {}", rights(name));
            let _ = self.plant.add_key(&recipient);
        }
        for name in [&["shop", "mill", "kiosk"][..], &SOURCES].concat() {
            self.configure_producer(name);
        }
        self.create_keys_in_services();
        self.store_sources();
        assert_eq!(self.plant.publish(), 1);
        std::fs::copy(self.plant.path("office/keyset.cose"), self.plant.path("office/first.cose")).unwrap();
        let sources = ["keys/agreement", "cred:recipient", "env:RECIPIENT", "exec:recipient"];
        let sources = sources.map(|source| format!("\"{source}\"")).join(", ");
        self.set_mode("observe");
        self.plant.configure_workers(&format!("{sources}, \"vault://secret/data/recipient\""));
    }

    fn add_key(&mut self, name: &'static str, keygen: &str) {
        let key = self.plant.add_key(keygen);
        self.keys.insert(name, key);
    }

    /// Carries a shared key of the producer to the host of the workers.
    fn carry_shared_key(&self, name: &str) {
        let (from, to) = (format!("mill/keys/shared/{name}"), format!("host/keys/shared/{name}"));
        std::fs::copy(self.plant.path(&from), self.plant.path(&to)).unwrap();
    }

    /// Writes the configuration of a producer, which has a key for its results.
    fn configure_producer(&self, name: &str) {
        let (suite, key) = if name == "mill" { ("M", "keys/shared") } else { ("SP", "keys/sign") };
        let shared = if name == "mill" { "shared = [\"keys/shared\"]" } else { "" };
        self.configure_client(name, suite, key, shared, "");
    }

    /// Writes the configuration of a producer with this key. `keys` are more lines of `[keys]`.
    fn configure_client(&self, name: &str, suite: &str, key: &str, keys: &str, more: &str) {
        let results = format!("receive --use result --out ../{name}/keys/results.key {}", rights(name));
        let _ = self.plant.add_key(&results);
        let client = format!(
            "[client]\nissuer = \"{name}\"\nsuite = \"{suite}\"\nkey = \"{key}\"\nresult_key = \"keys/results.key\"\n\
             [fleet]\nstatus_every = \"2s\"\n{more}"
        );
        self.plant.configure(&format!("{name}/taskseal.toml"), keys, &client);
    }

    /// Starts or restarts a worker.
    fn start_worker(&mut self, name: &'static str) {
        let credentials = self.plant.path("host/credentials");
        let recipient = PathBuf::from(self.plant.read("office/keys/env.key"));
        let environment =
            [("CREDENTIALS_DIRECTORY", credentials.as_path()), ("RECIPIENT", recipient.as_path())];
        let worker = WorkerProcess::start(&self.plant.path("host"), &environment, name);
        self.workers.push(worker);
    }

    /// Restarts the workers one after the other, while the other one runs.
    fn restart_workers(&mut self) {
        for _ in 0..self.workers.len() {
            let worker = self.workers.remove(0);
            let name = worker.name;
            let _ = worker.stop();
            self.start_worker(name);
        }
    }

    /// Starts a producer that seals.
    fn start_producer(&mut self, name: &'static str) {
        let producer = self.load.seal(name, &self.plant.path(name));
        self.producers.push(producer);
    }

    /// Waits until this many more tasks of each good producer have ended.
    fn progress(&self, tasks: u64) {
        self.load.progress(&self.producers.iter().collect::<Vec<_>>(), tasks);
    }

    /// Returns the starts of handlers so far.
    fn ran(&self) -> Vec<Ran> {
        ran::read(&self.plant.path("host/ran"))
    }

    /// Waits until every worker has logged this event since it had the numbers of lines `from`.
    fn until_logged(&self, from: &[usize], event: &str, matches: impl Fn(&Value) -> bool) {
        for (worker, from) in self.workers.iter().zip(from) {
            let _ = worker.until(*from, event, &matches);
        }
    }

    /// Returns the number of log lines of each worker.
    fn lines(&self) -> Vec<usize> {
        self.workers.iter().map(WorkerProcess::lines).collect()
    }

    /// Waits until every worker states this sequence number of its keyset.
    fn until_fetched(&self, sequence: u64) {
        until(&format!("the workers to have the keyset {sequence}"), || {
            let listed = self.plant.office("fleet ls --json");
            let lines = listed.ok().text();
            let processes = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let fetched = |process: &Value| process["role"] == "worker" && process["sequence"] == sequence;
            (processes.filter(fetched).count() == self.workers.len()).then_some(())
        });
    }

    /// Prints the line of a chapter.
    fn tell(&self, chapter: &str, report: String) {
        self.load.accounts.check();
        let seconds = self.begin.elapsed().as_secs();
        println!("drill {seconds:>4} s  {chapter}: {report}");
    }
}
