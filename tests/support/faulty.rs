//! A broker and a ledger that wrap real ones and fail on request.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use taskseal::QueueName;
use taskseal::broker::{
    Broker, BrokerError, DequeueLimits, Dequeued, Enqueued, Eviction, Lease, NewTask, Operated, Operation,
    QueueDeletion, QueueStats, Recovered, Settled, Settlement, TaskInfo, TaskState, Tidied,
};
use taskseal::replay::{Decision, Ledger, LedgerStats, ReplayQuery, StateError, StateKind, TaskKey};
use taskseal::time::UnixMillis;
use tokio::sync::Notify;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is not carried out, and the error says so.
    Unavailable,
    /// The call is not carried out, and its result is unknown to the caller.
    RequestLost,
    /// The call is carried out, and its result is unknown to the caller.
    AnswerLost,
    /// The call is not carried out, and fails permanently.
    Refused,
}

/// A call that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Call {
    Enqueue,
    Dequeue,
    Settle,
    Extend,
}

/// A broker whose calls fail a set number of times.
#[derive(Debug)]
pub struct FaultyBroker {
    inner: Arc<dyn Broker>,
    faults: Mutex<BTreeMap<Call, (Fault, usize)>>,
    held: Mutex<BTreeMap<Call, (When, Arc<Held>)>>,
    waits: Mutex<Vec<Vec<QueueName>>>,
}

/// When a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before it is carried out.
    Before,
    /// After it was carried out, before its answer is returned.
    After,
}

/// A call that waits for the test.
#[derive(Debug, Default)]
pub struct Held {
    /// Notified when the call waits.
    pub reached: Notify,
    /// Lets the call go on.
    pub go_on: Notify,
}

impl FaultyBroker {
    /// Wraps `inner`, without a fault.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>) -> Arc<Self> {
        Arc::new(Self { inner, faults: Mutex::default(), held: Mutex::default(), waits: Mutex::default() })
    }

    /// Lets the next call wait.
    pub fn hold(&self, call: Call, when: When) -> Arc<Held> {
        let held = Arc::<Held>::default();
        self.held.lock().unwrap().insert(call, (when, Arc::clone(&held)));
        held
    }

    /// The queues of each wait.
    #[must_use]
    pub fn waits(&self) -> Vec<Vec<QueueName>> {
        self.waits.lock().unwrap().clone()
    }

    async fn wait_if_held(&self, call: Call, now: When) {
        let held = {
            let mut all = self.held.lock().unwrap();
            match all.get(&call) {
                Some((when, _)) if *when == now => all.remove(&call),
                _ => None,
            }
        };
        if let Some((_, held)) = held {
            held.reached.notify_one();
            held.go_on.notified().await;
        }
    }

    /// Lets the next `times` calls fail.
    pub fn fail(&self, call: Call, fault: Fault, times: usize) {
        self.faults.lock().unwrap().insert(call, (fault, times));
    }

    /// Number of calls that are still to fail.
    #[must_use]
    pub fn left(&self, call: Call) -> usize {
        self.faults.lock().unwrap().get(&call).map_or(0, |(_, left)| *left)
    }

    fn next(&self, call: Call) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let (fault, left) = faults.get_mut(&call).filter(|(_, left)| *left > 0)?;
        *left -= 1;
        Some(*fault)
    }

    async fn run<T>(
        &self,
        call: Call,
        carried_out: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        match self.next(call) {
            None => {
                self.wait_if_held(call, When::Before).await;
                let answer = carried_out.await;
                self.wait_if_held(call, When::After).await;
                answer
            }
            Some(Fault::Unavailable) => Err(BrokerError::Unavailable("told to fail".into())),
            Some(Fault::RequestLost) => Err(BrokerError::Ambiguous("told to fail".into())),
            Some(Fault::Refused) => Err(BrokerError::Refused("told to fail".into())),
            Some(Fault::AnswerLost) => {
                carried_out.await?;
                Err(BrokerError::Ambiguous("told to fail".into()))
            }
        }
    }
}

#[async_trait]
impl Broker for FaultyBroker {
    async fn enqueue(&self, queue: &QueueName, tasks: &[NewTask]) -> Result<Vec<Enqueued>, BrokerError> {
        self.run(Call::Enqueue, self.inner.enqueue(queue, tasks)).await
    }

    async fn dequeue_within(
        &self,
        queue: &QueueName,
        limits: DequeueLimits,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        self.run(Call::Dequeue, self.inner.dequeue_within(queue, limits, lease)).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        ends: &[(Lease, Settlement)],
    ) -> Result<Vec<Settled>, BrokerError> {
        self.run(Call::Settle, self.inner.settle(queue, ends)).await
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<bool>, BrokerError> {
        self.run(Call::Extend, self.inner.extend(queue, leases, lease)).await
    }

    async fn recover(&self, queue: &QueueName, limit: usize) -> Result<Recovered, BrokerError> {
        self.inner.recover(queue, limit).await
    }

    async fn forward(&self, queue: &QueueName, limit: usize) -> Result<usize, BrokerError> {
        self.inner.forward(queue, limit).await
    }

    async fn tidy(&self, queue: &QueueName, limit: usize) -> Result<Tidied, BrokerError> {
        self.inner.tidy(queue, limit).await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<bool, BrokerError> {
        self.inner.set_paused(queue, paused).await
    }

    async fn publish_status(&self, process: &str, status: &[u8], keep: Duration) -> Result<(), BrokerError> {
        self.inner.publish_status(process, status, keep).await
    }

    async fn statuses(&self) -> Result<Vec<Vec<u8>>, BrokerError> {
        self.inner.statuses().await
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.inner.ping().await
    }

    async fn health(&self) -> Result<Eviction, BrokerError> {
        self.inner.health().await
    }

    async fn operate(
        &self,
        queue: &QueueName,
        ids: &[String],
        operation: Operation,
    ) -> Result<Vec<Operated>, BrokerError> {
        self.inner.operate(queue, ids, operation).await
    }

    async fn delete_queue(&self, queue: &QueueName, with_tasks: bool) -> Result<QueueDeletion, BrokerError> {
        self.inner.delete_queue(queue, with_tasks).await
    }

    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        self.inner.queues().await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BrokerError> {
        self.inner.stats(queue).await
    }

    async fn list(
        &self,
        queue: &QueueName,
        state: TaskState,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<TaskInfo>, BrokerError> {
        self.inner.list(queue, state, offset, limit).await
    }

    async fn find(&self, queue: &QueueName, id: &str) -> Result<Option<TaskInfo>, BrokerError> {
        self.inner.find(queue, id).await
    }

    async fn wait(&self, queues: &[QueueName], timeout: Duration) {
        self.waits.lock().unwrap().push(queues.to_vec());
        self.inner.wait(queues, timeout).await;
    }
}

/// A ledger that can be unavailable.
#[derive(Debug)]
pub struct FaultyLedger {
    inner: Arc<dyn Ledger>,
    unavailable: AtomicBool,
    failing_begins: AtomicUsize,
    held_acquire: Mutex<Option<(Arc<Notify>, mpsc::Receiver<()>)>>,
}

/// A call to the ledger that waits for the test, until this is dropped.
#[derive(Debug)]
pub struct HeldAcquire {
    /// Notified when the call waits.
    pub reached: Arc<Notify>,
    _go_on: mpsc::Sender<()>,
}

impl FaultyLedger {
    /// Wraps `inner`, available.
    #[must_use]
    pub fn new(inner: Arc<dyn Ledger>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            unavailable: AtomicBool::new(false),
            failing_begins: AtomicUsize::new(0),
            held_acquire: Mutex::default(),
        })
    }

    /// Lets the next acquisition wait after it was carried out.
    #[must_use]
    pub fn hold_acquire(&self) -> HeldAcquire {
        let (go_on, waiting) = mpsc::channel();
        let reached = Arc::<Notify>::default();
        *self.held_acquire.lock().unwrap() = Some((Arc::clone(&reached), waiting));
        HeldAcquire { reached, _go_on: go_on }
    }

    /// Makes it unavailable or available again.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.unavailable.store(unavailable, Ordering::SeqCst);
    }

    /// Lets the next `times` calls of `begin` fail.
    pub fn fail_begin(&self, times: usize) {
        self.failing_begins.store(times, Ordering::SeqCst);
    }

    fn wait_if_held(&self) {
        let held = self.held_acquire.lock().unwrap().take();
        if let Some((reached, waiting)) = held {
            reached.notify_one();
            // Ends with an error when the sender is dropped.
            let _ = waiting.recv();
        }
    }

    fn reach(&self) -> Result<&dyn Ledger, StateError> {
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(StateError::Unavailable { kind: StateKind::Ledger, source: "told to fail".into() });
        }
        Ok(&*self.inner)
    }
}

impl Ledger for FaultyLedger {
    fn now(&self) -> UnixMillis {
        self.inner.now()
    }

    fn acquire(
        &self,
        owner: &str,
        now: UnixMillis,
        until: UnixMillis,
        queries: &[ReplayQuery],
    ) -> Result<Vec<Decision>, StateError> {
        let decisions = self.reach()?.acquire(owner, now, until, queries);
        self.wait_if_held();
        decisions
    }

    fn extend(&self, owner: &str, keys: &[TaskKey], until: UnixMillis) -> Result<Vec<bool>, StateError> {
        self.reach()?.extend(owner, keys, until)
    }

    fn begin(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        let one_less = |left: usize| left.checked_sub(1);
        if self.failing_begins.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Err(StateError::Unavailable { kind: StateKind::Ledger, source: "told to fail".into() });
        }
        self.reach()?.begin(owner, keys)
    }

    fn finish(&self, owner: &str, outcomes: &[(TaskKey, Vec<u8>)]) -> Result<Vec<bool>, StateError> {
        self.reach()?.finish(owner, outcomes)
    }

    fn settled(&self, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.reach()?.settled(keys)
    }

    fn release(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.reach()?.release(owner, keys)
    }

    fn give_back(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.reach()?.give_back(owner, keys)
    }

    fn forget(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.reach()?.forget(owner, keys)
    }

    fn sweep(&self, now: UnixMillis, limit: usize) -> Result<usize, StateError> {
        self.reach()?.sweep(now, limit)
    }

    fn stats(&self) -> Result<LedgerStats, StateError> {
        self.reach()?.stats()
    }
}
