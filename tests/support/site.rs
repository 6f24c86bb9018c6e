//! A deployment that a configuration file describes, whose keyset and keys a test changes while clients and workers run.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use taskseal::config::Config;
use taskseal::handler::{OpenedTask, Output};
use taskseal::keys::{Algorithm, SecretKey};
use taskseal::worker::{Event, Tally, WorkerBuilder};
use taskseal::{Client, Task, Worker};
use taskseal_core::{ContentType, KeyId};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fleet::until;

/// A key of a site.
#[derive(Debug)]
struct SiteKey {
    kid: KeyId,
    entry: String,
}

/// A deployment in a private folder: a queue file, `taskseal.toml`, `keyset.toml` and the folder `keys`.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    keys: BTreeMap<String, SiteKey>,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// Creates a site with `keys/producer.key` and `keys/worker.key`, which the keyset has.
    #[must_use]
    pub fn new() -> Self {
        let mut site = Self { folder: tempfile::tempdir().unwrap(), keys: BTreeMap::new() };
        fs::create_dir(site.path("keys")).unwrap();
        site.add_key("producer", "task");
        site.add_key("worker", "result");
        site.write_keyset(&[("producer", ""), ("worker", "")]);
        site.write_config("keys/producer.key", "");
        let config = site.config();
        config.create_queue().unwrap();
        config.create_ledger(true).unwrap();
        site
    }

    /// Returns a path in its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Generates a key in `keys/NAME.key` for tasks or results, which the keyset does not have yet.
    pub fn add_key(&mut self, name: &str, r#use: &str) {
        let file = self.path(&format!("keys/{name}.key"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let key = SecretKey::create(&file, Algorithm::Es256, name).unwrap();
        let (kid, public) = (key.kid(), key.public().unwrap());
        let entry = format!(
            "[[key]]\nkid = \"{kid}\"\nalg = \"ES256\"\nuse = \"{use}\"\npublic = \"{public}\"\n\
             issuers = [\"*\"]\ntypes = [\"*\"]\naudiences = [\"site/*\"]\n"
        );
        self.keys.insert(name.to_owned(), SiteKey { kid, entry });
    }

    /// Returns the kid of a key.
    #[must_use]
    pub fn kid(&self, name: &str) -> KeyId {
        self.keys[name].kid
    }

    /// Returns the text of a keyset with these keys, each with further lines.
    #[must_use]
    pub fn keyset(&self, keys: &[(&str, &str)]) -> String {
        keys.iter().map(|(name, lines)| format!("{}{lines}\n\n", self.keys[*name].entry)).collect()
    }

    /// Replaces the keyset by one with these keys, as editors do: through another file.
    pub fn write_keyset(&self, keys: &[(&str, &str)]) {
        replace(&self.path("keyset.toml"), &self.keyset(keys));
    }

    /// Replaces the policy file, and names it in a configuration without further text.
    pub fn write_policy(&self, text: &str) {
        replace(&self.path("policy.toml"), text);
        self.write_config("keys/producer.key", "");
    }

    /// Writes `taskseal.toml` with this key of the client, the policy file if there is one, and further text.
    pub fn write_config(&self, key: &str, more: &str) {
        let has_policy = self.path("policy.toml").exists();
        let policy = if has_policy { "file = \"policy.toml\"\n" } else { "" };
        let text = format!(
            "deployment = \"site\"\n[broker]\nurl = \"embedded:queue.db\"\n\
             [client]\nissuer = \"shop\"\nsuite = \"sign\"\nkey = \"{key}\"\n\
             [policy]\nsuites = [\"sign\"]\n{policy}\
             [worker]\nid = \"worker-1\"\nresult_suite = \"sign\"\nresult_key = \"keys/worker.key\"\n\
             postpone_first = \"1s\"\npostpone_longest = \"1s\"\n\
             [[worker.queue]]\nname = \"mail\"\n{more}"
        );
        replace(&self.path("taskseal.toml"), &text);
    }

    /// Returns its configuration.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::load(&self.path("taskseal.toml")).unwrap()
    }

    /// Opens its client.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::open(&self.config()).unwrap()
    }

    /// Starts its worker, which answers each task with its body.
    #[must_use]
    pub fn start_worker(&self) -> SiteWorker {
        self.start_worker_with(self.config(), |builder| builder)
    }

    /// Starts the worker of a configuration, which answers each task with its body unless `change` has another handler.
    #[must_use]
    pub fn start_worker_with(
        &self,
        config: Config,
        change: impl FnOnce(WorkerBuilder<'_>) -> WorkerBuilder<'_>,
    ) -> SiteWorker {
        let log = EventLog::default();
        let noting = log.clone();
        let echo = |task: OpenedTask| async move { Ok(Output::new(ContentType::OCTETS, task.body.to_vec())) };
        let worker = Worker::builder(&config).handle("*", echo).observer(move |event| noting.note(event));
        let worker = change(worker);
        let (stop, stopped) = oneshot::channel();
        let worker = worker.build().unwrap();
        let reload = Box::new(worker.key_reload());
        let ended = tokio::spawn(worker.run_until(async {
            let _ = stopped.await;
        }));
        SiteWorker { log, reload, stop, ended }
    }
}

/// Replaces a file through another one.
pub fn replace(file: &Path, text: &str) {
    let next = file.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, file).unwrap();
}

/// Returns a task.
#[must_use]
pub fn task(number: usize) -> Task {
    Task::new("email:send", &number).unwrap()
}

/// The events of a worker, as text.
#[derive(Clone, Debug, Default)]
pub struct EventLog(Arc<Mutex<Vec<String>>>);

impl EventLog {
    fn note(&self, event: &Event) {
        self.0.lock().unwrap().push(event.to_string());
    }

    /// Returns the events so far.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the number of events that contain `part`.
    #[must_use]
    pub fn count(&self, part: &str) -> usize {
        self.all().iter().filter(|event| event.contains(part)).count()
    }

    /// Waits until `count` events contain `part`.
    pub async fn until(&self, count: usize, part: &str) {
        until(&format!("{count} of `{part}`"), async || (self.count(part) >= count).then_some(())).await;
    }
}

/// A worker in the background.
#[allow(missing_debug_implementations)]
pub struct SiteWorker {
    /// Its events.
    pub log: EventLog,
    /// Has it load its keys now.
    pub reload: Box<dyn Fn() + Send + Sync>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Tally>,
}

impl SiteWorker {
    /// Stops it and waits for its end.
    pub async fn stop(self) -> Tally {
        let _ = self.stop.send(());
        self.ended.await.unwrap()
    }
}
