//! Recipients that the keyset chooses: each producer has a key for its results, and a task without a recipient waits.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskseal::client::{ClientError, Receipt};
use taskseal::config::{Config, PolicySettings, SetupError};
use taskseal::handler::{OpenedTask, Output};
use taskseal::keys::{Algorithm, Keyring, SecretKey};
use taskseal::result::{Request, open_result};
use taskseal::worker::{Event, Tally};
use taskseal::{Client, Task, Worker};
use taskseal_core::{OpenError, Refusal};
use taskseal_tests::fleet::{Fleet, mail, until};
use taskseal_tests::on_both_brokers;
use tempfile::TempDir;

on_both_brokers! {
    task_without_a_recipient_is_not_stored_and_no_other_task_of_its_call,
    task_whose_result_has_no_recipient_waits_and_loses_no_attempt,
    producers_read_only_their_own_results,
}

const PRODUCERS: [&str; 2] = ["shop", "billing"];
const TYPE: &str = "report:build";

/// Keys and configurations of two producers and a worker, which name no recipient.
struct Deployment {
    folder: TempDir,
    entries: Vec<(&'static str, String)>,
}

impl Deployment {
    fn new() -> Self {
        let mut deployment = Self { folder: tempfile::tempdir().unwrap(), entries: Vec::new() };
        let any = "types = [\"*\"]\naudiences = [\"test/*\"]\n";
        for (name, algorithm, use_and_issuer) in [
            ("shop", Algorithm::Es256, "use = \"task\"\nissuers = [\"shop\"]\n"),
            ("billing", Algorithm::Es256, "use = \"task\"\nissuers = [\"billing\"]\n"),
            ("worker", Algorithm::Es256, "use = \"result\"\nissuers = [\"worker-1\"]\n"),
            ("tasks", Algorithm::EcdhEs, "use = \"task\"\nissuers = [\"shop\", \"billing\"]\n"),
            ("shop-results", Algorithm::EcdhEs, "use = \"result\"\nissuers = [\"shop\"]\n"),
            ("billing-results", Algorithm::EcdhEs, "use = \"result\"\nissuers = [\"billing\"]\n"),
        ] {
            let key = SecretKey::create(&deployment.key(name), algorithm, name).unwrap();
            let (kid, public) = (key.kid(), key.public().unwrap());
            let entry = format!(
                "[[key]]\nkid = \"{kid}\"\nalg = \"{algorithm}\"\npublic = \"{public}\"\n{use_and_issuer}{any}\n"
            );
            deployment.entries.push((name, entry));
        }
        deployment.write_keyset(|_| true);
        for name in PRODUCERS {
            deployment.write(
                name,
                &format!(
                    "[client]\nissuer = \"{name}\"\nsuite = \"SP\"\nkey = \"{name}.key\"\n\
                     result_key = \"{name}-results.key\"\nretention = \"1h\"\nsign_batch = 8\n"
                ),
            );
        }
        deployment.write(
            "worker",
            "[worker]\nid = \"worker-1\"\nlease = \"2s\"\nfetch_batch = 8\ndecryption_keys = [\"tasks.key\"]\n\
             result_suite = \"SP\"\nresult_key = \"worker.key\"\npostpone_first = \"1s\"\n\
             [[worker.queue]]\nname = \"mail\"\n",
        );
        deployment
    }

    fn key(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}.key"))
    }

    fn write(&self, name: &str, sections: &str) {
        let policy = "[policy]\nsuites = [\"SP\"]\nbatches = true\n";
        let text =
            format!("deployment = \"test\"\n[broker]\nurl = \"embedded:queue.db\"\n{sections}{policy}");
        fs::write(self.folder.path().join(format!("{name}.toml")), text).unwrap();
    }

    /// Writes the keyset with the entries whose names are kept.
    fn write_keyset(&self, keeps: impl Fn(&str) -> bool) {
        let kept = self.entries.iter().filter(|(name, _)| keeps(name));
        let text = kept.fold(String::new(), |mut text, (_, entry)| {
            write!(text, "{entry}").unwrap();
            text
        });
        fs::write(self.folder.path().join("keyset.toml"), text).unwrap();
    }

    fn config(&self, name: &str) -> Config {
        Config::load(&self.folder.path().join(format!("{name}.toml"))).unwrap()
    }

    fn client(&self, fleet: &Fleet, issuer: &str) -> Client {
        Client::open_on(&self.config(issuer), fleet.broker()).unwrap()
    }

    /// Runs a worker until no task is due. Returns what it did, and the ids of tasks without a recipient.
    async fn work(&self, fleet: &Fleet) -> (Tally, Vec<String>) {
        let missing = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&missing);
        let worker = Worker::builder(&self.config("worker"))
            .broker(fleet.broker())
            .ledger(fleet.ledger())
            .handle("*", async |task: OpenedTask| Output::json(&task.issuer))
            .observer(move |event| {
                if let Event::RecipientMissing { id, missing, has_run: false } = event {
                    assert_eq!((&*missing.task_type, &*missing.audience), (TYPE, "test/mail"));
                    noted.lock().unwrap().push(id.clone());
                }
            })
            .build()
            .unwrap();
        let tally = worker.run_once().await;
        let missing = missing.lock().unwrap().clone();
        (tally, missing)
    }
}

fn task(body: u32) -> Task {
    Task::new(TYPE, &body).unwrap().queue(mail())
}

async fn task_without_a_recipient_is_not_stored_and_no_other_task_of_its_call(fleet: Fleet) {
    let deployment = Deployment::new();
    // The key for tasks has no right for this type.
    let (_, entry) = deployment.entries.iter().find(|(name, _)| *name == "tasks").unwrap();
    let narrow = entry.replace("types = [\"*\"]", "types = [\"report:*\"]");
    let keyset = deployment.folder.path().join("keyset.toml");
    fs::write(&keyset, fs::read_to_string(&keyset).unwrap().replace(entry, &narrow)).unwrap();
    let client = deployment.client(&fleet, "shop");

    let mut tasks: Vec<_> = (0..140).map(task).collect();
    tasks.push(Task::new("email:send", &1).unwrap().queue(mail()));
    let error = client.enqueue_all(tasks).await.unwrap_err();

    let ClientError::Recipient(missing) = &error else { panic!("{error:?}") };
    assert_eq!((&*missing.issuer, &*missing.task_type), ("shop", "email:send"));
    assert_eq!(missing.audience, "test/mail");
    assert!(error.to_string().contains("by issuer shop of type email:send for test/mail"), "{error}");
    assert!(fleet.broker().dequeue(&mail(), 1, Duration::from_secs(60)).await.unwrap().tasks.is_empty());
    // One result for each task, in order.
    let sealed = client.seal_all(vec![task(1), Task::new("email:send", &1).unwrap(), task(2)]).await;
    assert_eq!(sealed.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

async fn task_whose_result_has_no_recipient_waits_and_loses_no_attempt(fleet: Fleet) {
    let deployment = Deployment::new();
    let (shop, billing) = (deployment.client(&fleet, "shop"), deployment.client(&fleet, "billing"));
    let waiting = billing.enqueue(task(1).attempts(1)).await.unwrap();
    let unread = billing.enqueue(task(2).retention(Duration::ZERO)).await.unwrap();
    let other = shop.enqueue(task(3)).await.unwrap();

    deployment.write_keyset(|name| name != "billing-results");
    let (tally, missing) = deployment.work(&fleet).await;
    assert_eq!((tally.succeeded, missing), (2, vec![waiting.queue_id.clone()]));
    assert!(!fleet.done().contains(&waiting.id.to_string()));
    assert!(fleet.done().contains(&unread.id.to_string()));
    assert!(shop.result(&other).await.unwrap().is_some());

    deployment.write_keyset(|_| true);
    until("the task is delivered again", async || {
        let (tally, missing) = deployment.work(&fleet).await;
        assert_eq!(missing.len(), 0);
        (tally.succeeded == 1).then_some(())
    })
    .await;
    assert_eq!(&*billing.result(&waiting).await.unwrap().unwrap().body, b"\"billing\"");
}

async fn producers_read_only_their_own_results(fleet: Fleet) {
    let deployment = Deployment::new();
    let mut receipts: Vec<(&str, Receipt)> = Vec::new();
    for name in PRODUCERS {
        let client = deployment.client(&fleet, name);
        // Under one signature, and fetched together with those of the other producer.
        let tasks = client.enqueue_all((0..8).map(task).collect()).await.unwrap();
        receipts.extend(tasks.into_iter().map(|receipt| (name, receipt)));
    }
    let (tally, missing) = deployment.work(&fleet).await;
    assert_eq!((tally.succeeded, missing.len()), (16, 0));

    for (name, receipt) in &receipts {
        let result = deployment.client(&fleet, name).result(receipt).await.unwrap().unwrap();
        assert_eq!(&**result.body, format!("\"{name}\"").as_bytes());
        // The other producer sees the result in the queue, knows its request, and cannot decrypt it.
        let envelope = fleet.find(&receipt.queue_id).await.unwrap().result.unwrap();
        let keyset = Keyring::load(&deployment.folder.path().join("keyset.toml")).unwrap();
        let mut policy = PolicySettings::default();
        policy.suites = deployment.config("shop").client().unwrap().policy.suites;
        let opened_with = |producer: &str| {
            let keyring =
                keyset.with_decryption_keys([deployment.key(&format!("{producer}-results"))]).unwrap();
            let (id, digest) = (receipt.id, receipt.digest);
            let request = Request { task_type: TYPE, audience: "test/mail", id, digest };
            open_result(&envelope, &request, &policy, &keyring).map(drop)
        };
        let other = PRODUCERS.into_iter().find(|other| other != name).unwrap();
        assert_eq!(opened_with(other), Err(OpenError::Refused(Refusal::NoDecryptionKey)));
        assert_eq!(opened_with(name), Ok(()));
    }
}

#[tokio::test]
async fn worker_does_not_start_if_the_results_of_a_queue_have_no_recipient() {
    let fleet = Fleet::embedded().await;
    let deployment = Deployment::new();
    deployment.write_keyset(|name| !name.ends_with("-results"));
    let config = deployment.config("worker");
    let builder = Worker::builder(&config).broker(fleet.broker()).ledger(fleet.ledger());
    let error = builder.handle("report:*", async |_| Ok(())).build().unwrap_err();
    let SetupError::File(error) = error else { panic!("{error}") };
    assert!(error.file.ends_with("worker.toml"), "{error}");
    assert!(error.message.starts_with("the keyset has no recipient now for results in test/mail"), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("`use = \"result\"`"));
}
