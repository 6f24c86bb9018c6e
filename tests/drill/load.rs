//! The load: producers that enqueue at a constant rate and verify the result of each task.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use taskseal::config::Config;
use taskseal::{Client, Receipt, Task, WaitOutcome};
use taskseal_tests::fleet::new_id;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::accounts::Accounts;
use crate::unsealed;
use crate::waiting::{LIMIT, PAUSE, until};

/// The type of all tasks of good producers.
pub(crate) const TYPE: &str = "file:digest";

/// Delay between two tasks of a producer.
const EVERY: Duration = Duration::from_millis(250);

/// Maximum number of tasks of a producer in this process that have not ended.
pub(crate) const OUTSTANDING: u32 = 8;

/// Where producers run.
pub(crate) struct Load {
    pub(crate) runtime: Runtime,
    pub(crate) accounts: Arc<Accounts>,
}

/// A producer that runs.
pub(crate) struct Producer {
    pub(crate) name: &'static str,
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicU64>,
    running: JoinHandle<()>,
}

impl Load {
    pub(crate) fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        Self { runtime, accounts: Arc::default() }
    }

    /// Starts a producer that seals as the configuration in its folder says.
    pub(crate) fn seal(&self, name: &'static str, folder: &Path) -> Producer {
        let client = Arc::new(self.open(folder));
        let accounts = Arc::clone(&self.accounts);
        self.produce(name, OUTSTANDING, move |number| {
            let (client, accounts) = (Arc::clone(&client), Arc::clone(&accounts));
            async move { sealed(&client, &accounts, name, number).await }
        })
    }

    /// Opens a client, which watches its keys in this runtime.
    pub(crate) fn open(&self, folder: &Path) -> Client {
        let _inside = self.runtime.enter();
        Client::open(&Config::load(&folder.join("taskseal.toml")).unwrap()).unwrap()
    }

    /// Starts a producer that does not seal.
    pub(crate) fn store_unsealed(&self, name: &'static str, url: &str) -> Producer {
        let (url, accounts) = (url.to_owned(), Arc::clone(&self.accounts));
        self.produce(name, OUTSTANDING, move |number| {
            let (url, accounts) = (url.clone(), Arc::clone(&accounts));
            async move { unsealed_task(&url, &accounts, name, number).await }
        })
    }

    /// Starts `work` at a constant rate, and at most `outstanding` times at once. It returns whether its task has ended.
    pub(crate) fn produce<F>(
        &self,
        name: &'static str,
        outstanding: u32,
        work: impl Fn(u64) -> F + Send + 'static,
    ) -> Producer
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let (stop, ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopping, counting) = (Arc::clone(&stop), Arc::clone(&ended));
        let running = self.runtime.spawn(async move {
            let slots = Arc::new(Semaphore::new(outstanding as usize));
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut number = 0;
            while !stopping.load(Ordering::SeqCst) {
                let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
                ticks.tick().await;
                number += 1;
                let (task, counting) = (work(number), Arc::clone(&counting));
                tokio::spawn(async move {
                    if task.await {
                        counting.fetch_add(1, Ordering::SeqCst);
                    }
                    drop(slot);
                });
            }
            let _all = slots.acquire_many(outstanding).await.unwrap();
        });
        Producer { name, stop, ended, running }
    }

    /// Waits until this many more tasks of each producer have ended.
    pub(crate) fn progress(&self, producers: &[&Producer], tasks: u64) {
        let goals: Vec<_> = producers.iter().map(|producer| producer.ended() + tasks).collect();
        for (producer, goal) in producers.iter().zip(goals) {
            until(&format!("{tasks} more tasks of {}", producer.name), || {
                self.accounts.check();
                (producer.ended() >= goal).then_some(())
            });
        }
    }

    /// Stops a producer after the ends of its tasks. Returns their number.
    pub(crate) fn stop(&self, producer: Producer) -> u64 {
        producer.stop.store(true, Ordering::SeqCst);
        self.runtime.block_on(producer.running).unwrap();
        producer.ended.load(Ordering::SeqCst)
    }
}

impl Producer {
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }
}

/// Seals one task and waits for its result. A producer whose key is not allowed at the moment enqueues none.
async fn sealed(client: &Client, accounts: &Accounts, name: &str, number: u64) -> bool {
    let Ok(receipt) = client.enqueue(Task::new(TYPE, &number).unwrap()).await else {
        accounts.entries().held_back += 1;
        return false;
    };
    let id = receipt.id.to_string();
    accounts.entries().good.insert(id.clone(), name.to_owned());
    match result(client, &receipt).await {
        Ok(body) if body == number.to_string().as_bytes() => {
            accounts.entries().verified.insert(id);
            true
        }
        other => {
            accounts.fault(format!("{name}: task {id}: {other:?}"));
            false
        }
    }
}

/// Waits for the result of a task. An error is a key that this host does not have yet, or a queue that did not answer.
async fn result(client: &Client, receipt: &Receipt) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let error = match client.wait(receipt, LIMIT).await {
            Ok(WaitOutcome::Done(result)) => return Ok(result.body.to_vec()),
            Ok(other) => return Err(format!("{other:?}")),
            Err(error) => error,
        };
        if Instant::now() > deadline {
            return Err(error.to_string());
        }
        sleep(PAUSE).await;
    }
}

/// Stores one task that is not sealed and waits for its result, as clients of asynq do.
async fn unsealed_task(url: &str, accounts: &Accounts, name: &str, number: u64) -> bool {
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let (id, body) = (new_id().to_string(), format!("{name} {number}").into_bytes());
    accounts.entries().good.insert(id.clone(), name.to_owned());
    unsealed::store(&mut redis, &id, TYPE, &body);
    let deadline = Instant::now() + LIMIT;
    loop {
        match unsealed::state(&mut redis, &id) {
            (Some(state), Some(result)) if state == "completed" && result == body => {
                accounts.entries().verified.insert(id);
                return true;
            }
            (Some(state), _) if state != "archived" && Instant::now() < deadline => sleep(PAUSE).await,
            other => {
                accounts.fault(format!("{name}: task {id}: {other:?}"));
                return false;
            }
        }
    }
}
