//! A model of a queue in memory, and calls that run on the model and on a broker.
//!
//! Times are past or future only: a lease has expired or never will, a task is due or never will be.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use taskseal::broker::{
    Broker, Enqueued, Lease, NewTask, QueueStats, Settled, Settlement, TaskRecord, TaskState, Tidied,
};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;

/// One call.
#[derive(Clone, Debug)]
pub enum Op {
    /// Enqueue tasks: number of the id, number of the payload, when.
    Enqueue(Vec<(u8, u8, When)>),
    /// Dequeue that many.
    Dequeue(usize, Lasting),
    /// Settle leases ever handed out, by number from the latest.
    Settle(Vec<(usize, Outcome)>),
    /// Extend leases ever handed out.
    Extend(Vec<usize>, Lasting),
    /// Recover that many.
    Recover(usize),
    /// Forward that many.
    Forward(usize),
    /// Tidy that many.
    Tidy(usize),
    /// Pause or resume.
    Pause(bool),
}

/// When a task is to become pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// In the past, the number telling how long ago.
    Past(u8),
    /// Not while this runs.
    Future,
}

/// How long a lease or a result lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Until the next call.
    Over,
    /// While this runs.
    Long,
}

/// How a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// [`Settlement::Done`].
    Done,
    /// [`Settlement::Complete`].
    Complete(Lasting),
    /// [`Settlement::Retry`].
    Retry(Lasting, bool),
    /// [`Settlement::Archive`].
    Archive,
    /// [`Settlement::Requeue`].
    Requeue,
}

/// Sequences of calls.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let when =
        || prop_oneof![3 => Just(When::Now), 1 => (0..5_u8).prop_map(When::Past), 1 => Just(When::Future)];
    let lasting = || prop_oneof![Just(Lasting::Over), Just(Lasting::Long)];
    let end = prop_oneof![
        2 => Just(Outcome::Done),
        2 => lasting().prop_map(Outcome::Complete),
        2 => (lasting(), any::<bool>()).prop_map(|(delay, failed)| Outcome::Retry(delay, failed)),
        1 => Just(Outcome::Archive),
        2 => Just(Outcome::Requeue),
    ];
    let op = prop_oneof![
        4 => prop::collection::vec((0..14_u8, prop_oneof![4 => Just(0_u8), 1 => Just(1)], when()), 0..7)
            .prop_map(Op::Enqueue),
        4 => (0..6_usize, lasting()).prop_map(|(limit, lasting)| Op::Dequeue(limit, lasting)),
        4 => prop::collection::vec((0..10_usize, end), 0..5).prop_map(Op::Settle),
        1 => (prop::collection::vec(0..10_usize, 0..4), lasting())
            .prop_map(|(leases, lasting)| Op::Extend(leases, lasting)),
        2 => (0..5_usize).prop_map(Op::Recover),
        2 => (0..5_usize).prop_map(Op::Forward),
        1 => (0..5_usize).prop_map(Op::Tidy),
        1 => prop_oneof![1 => Just(true), 3 => Just(false)].prop_map(Op::Pause),
    ];
    prop::collection::vec(op, 1..40)
}

const LONG: Duration = Duration::from_secs(1_000_000);

#[derive(Clone, Debug)]
struct Task {
    record: TaskRecord,
    retries: u32,
    /// How many tasks were stored before.
    number: usize,
    state: TaskState,
    lease: Option<Lease>,
    /// Scheduled, retry: when due. Active: the step at which the lease ran out. `None`: not while this runs.
    due: Option<i64>,
    result: Option<Vec<u8>>,
}

/// The queue as it should be.
#[derive(Debug, Default)]
pub struct Model {
    tasks: BTreeMap<String, Task>,
    line: Vec<String>,
    leases: Vec<Lease>,
    stored: usize,
    paused: bool,
    processed: u64,
    failed: u64,
    steps: i64,
    /// Whether leases that ran out within one second are told apart, and tasks that are due at once leave in the order in
    /// which they were stored, not in that of their ids.
    exact: bool,
}

type Check = Result<(), String>;

fn same<T: PartialEq + Debug>(what: &str, broker: &T, model: &T) -> Check {
    if broker == model { Ok(()) } else { Err(format!("{what}: broker {broker:?}, model {model:?}")) }
}

fn queue() -> QueueName {
    QueueName::parse("model").unwrap()
}

fn span(lasting: Lasting) -> Duration {
    match lasting {
        Lasting::Over => Duration::ZERO,
        Lasting::Long => LONG,
    }
}

impl Model {
    /// A queue that recovers the leases that ran out first first.
    #[must_use]
    pub fn exact() -> Self {
        Self { exact: true, ..Self::default() }
    }

    /// A queue that does so by the second only: asynq's leases are whole seconds.
    #[must_use]
    pub fn by_the_second() -> Self {
        Self::default()
    }

    /// Makes one call on both.
    ///
    /// # Errors
    /// What differs.
    pub async fn step(&mut self, broker: &dyn Broker, op: &Op) -> Check {
        self.steps += 1;
        match op {
            Op::Enqueue(tasks) => self.enqueue(broker, tasks).await?,
            Op::Dequeue(limit, lasting) => self.dequeue(broker, *limit, *lasting).await?,
            Op::Settle(ends) => self.settle(broker, ends).await?,
            Op::Extend(numbers, lasting) => self.extend(broker, numbers, *lasting).await?,
            Op::Recover(limit) => self.recover(broker, *limit).await?,
            Op::Forward(limit) => self.forward(broker, *limit).await?,
            Op::Tidy(limit) => self.tidy(broker, *limit).await?,
            Op::Pause(paused) => {
                let changed = broker.set_paused(&queue(), *paused).await.map_err(text)?;
                same("changed", &changed, &(self.paused != *paused))?;
                self.paused = *paused;
            }
        }
        self.compare(broker).await
    }

    async fn enqueue(&mut self, broker: &dyn Broker, tasks: &[(u8, u8, When)]) -> Check {
        let tasks: Vec<NewTask> = tasks
            .iter()
            .enumerate()
            .map(|(number, &(id, payload, when))| NewTask {
                record: TaskRecord {
                    task_type: "model".into(),
                    id: format!("t{id:02}"),
                    queue: "model".into(),
                    envelope: vec![payload; 3].into(),
                    max_retries: Some(u32::try_from(number).unwrap()),
                    timeout: Some(Duration::from_secs(30)),
                    ..TaskRecord::default()
                },
                not_before: match when {
                    When::Now => None,
                    _ => Some(UnixMillis(self.time(when, number))),
                },
            })
            .collect();
        let answers = broker.enqueue(&queue(), &tasks).await.map_err(text)?;
        let mut expected = Vec::new();
        for NewTask { record, not_before } in tasks {
            if let Some(known) = self.tasks.get(&record.id) {
                let same = known.record.envelope == record.envelope;
                expected.push(if same { Enqueued::AlreadyThere } else { Enqueued::Conflict });
                continue;
            }
            let later = not_before.is_some_and(|at| at > UnixMillis::now().plus(LONG / 4));
            let id = record.id.clone();
            let state = if later { TaskState::Scheduled } else { TaskState::Pending };
            if !later {
                self.line.push(id.clone());
            }
            let number = self.stored;
            self.stored += 1;
            self.tasks
                .insert(id, Task { record, retries: 0, number, state, lease: None, due: None, result: None });
            expected.push(Enqueued::New);
        }
        same("answers", &answers, &expected)
    }

    async fn dequeue(&mut self, broker: &dyn Broker, limit: usize, lasting: Lasting) -> Check {
        let dequeued = broker.dequeue(&queue(), limit, span(lasting)).await.map_err(text)?;
        same("corrupt", &dequeued.corrupt.len(), &0)?;
        same("dropped", &dequeued.dropped.len(), &0)?;
        let count = if self.paused { 0 } else { limit.min(self.line.len()) };
        let expected: Vec<String> = self.line.drain(..count).collect();
        let ids: Vec<String> = dequeued.tasks.iter().map(|task| task.lease.id.clone()).collect();
        same("handed out", &ids, &expected)?;
        for leased in dequeued.tasks {
            let task = self.tasks.get_mut(&leased.lease.id).unwrap();
            same("record", &leased.record, &task.record)?;
            task.state = TaskState::Active;
            task.due = (lasting == Lasting::Over).then_some(self.steps);
            task.lease = Some(leased.lease.clone());
            self.leases.push(leased.lease);
        }
        Ok(())
    }

    async fn settle(&mut self, broker: &dyn Broker, ends: &[(usize, Outcome)]) -> Check {
        let mut calls = Vec::new();
        for (number, (from_latest, end)) in ends.iter().enumerate() {
            let Some(lease) = self.leases.iter().rev().nth(*from_latest).cloned() else { continue };
            let settlement = match *end {
                Outcome::Done => Settlement::Done,
                Outcome::Complete(lasting) => Settlement::Complete {
                    result: vec![u8::try_from(number).unwrap()],
                    retention: span(lasting),
                },
                Outcome::Retry(delay, failed) => {
                    Settlement::Retry { delay: span(delay), failure: failed.then(|| "failed".to_owned()) }
                }
                Outcome::Archive => Settlement::Archive { reason: "archived".into() },
                Outcome::Requeue => Settlement::Requeue,
            };
            calls.push((lease, settlement, *end));
        }
        let ends: Vec<_> = calls.iter().map(|(lease, end, _)| (lease.clone(), end.clone())).collect();
        let answers = broker.settle(&queue(), &ends).await.map_err(text)?;

        let mut expected = Vec::new();
        let mut front = Vec::new();
        for (lease, settlement, end) in calls {
            let held = self.tasks.get_mut(&lease.id).filter(|task| task.lease.as_ref() == Some(&lease));
            let Some(task) = held else {
                expected.push(Settled::LeaseLost);
                continue;
            };
            expected.push(Settled::Done);
            task.lease = None;
            task.due = None;
            match settlement {
                Settlement::Done => {
                    self.processed += 1;
                    self.tasks.remove(&lease.id);
                }
                Settlement::Complete { result, .. } => {
                    self.processed += 1;
                    task.state = TaskState::Completed;
                    task.result = Some(result);
                    task.due = (end == Outcome::Complete(Lasting::Over)).then_some(self.steps);
                }
                Settlement::Retry { failure, .. } => {
                    let failed = failure.is_some();
                    self.processed += u64::from(failed);
                    self.failed += u64::from(failed);
                    task.retries += u32::from(failed);
                    task.state = TaskState::Retry;
                    task.due = (!matches!(end, Outcome::Retry(Lasting::Long, _))).then_some(self.steps);
                }
                Settlement::Archive { .. } => {
                    self.processed += 1;
                    self.failed += 1;
                    task.state = TaskState::Archived;
                }
                _ => {
                    task.state = TaskState::Pending;
                    front.push(lease.id);
                }
            }
        }
        self.line.splice(0..0, front);
        same("answers", &answers, &expected)
    }

    async fn extend(&mut self, broker: &dyn Broker, numbers: &[usize], lasting: Lasting) -> Check {
        let leases: Vec<Lease> =
            numbers.iter().filter_map(|&number| self.leases.iter().rev().nth(number).cloned()).collect();
        let answers = broker.extend(&queue(), &leases, span(lasting)).await.map_err(text)?;
        let mut expected = Vec::new();
        for lease in leases {
            let held = self.tasks.get_mut(&lease.id).filter(|task| task.lease.as_ref() == Some(&lease));
            expected.push(held.is_some());
            if let Some(task) = held {
                task.due = (lasting == Lasting::Over).then_some(self.steps);
            }
        }
        same("answers", &answers, &expected)
    }

    async fn recover(&mut self, broker: &dyn Broker, limit: usize) -> Check {
        let recovered = broker.recover(&queue(), limit).await.map_err(text)?;
        same("dropped", &recovered.dropped.len(), &0)?;
        let mut lost = self.due(TaskState::Active);
        if !self.exact {
            lost.iter_mut().for_each(|(due, _)| *due = 0);
        }
        let mut taken: Vec<(i64, String)> = Vec::new();
        for id in &recovered.requeued {
            let at = lost.iter().position(|(_, lost)| lost == id).ok_or(format!("{id} was not lost"))?;
            taken.push(lost.remove(at));
        }
        same("how many", &taken.len(), &limit.min(taken.len() + lost.len()))?;
        // Those lost first are taken first; the order among tasks lost at once is the broker's own.
        let latest = taken.iter().map(|(due, _)| *due).max();
        let left = lost.iter().map(|(due, _)| *due).min();
        if let (Some(latest), Some(left)) = (latest, left)
            && latest > left
        {
            return Err(format!("took {taken:?} before {lost:?}"));
        }
        let mut front = Vec::new();
        for (due, id) in taken {
            let task = self.tasks.get_mut(&id).unwrap();
            task.lease = None;
            task.due = None;
            task.state = TaskState::Pending;
            front.push((due, id));
        }
        let line = broker.list(&queue(), TaskState::Pending, 0, 1000).await.map_err(text)?;
        let order: Vec<(i64, String)> = line
            .iter()
            .take(front.len())
            .filter_map(|info| front.iter().find(|(_, id)| *id == info.id).cloned())
            .collect();
        same("in front", &order.len(), &front.len())?;
        same("oldest in front", &order.is_sorted_by_key(|(due, _)| *due), &true)?;
        self.line.splice(0..0, order.into_iter().map(|(_, id)| id));
        Ok(())
    }

    async fn forward(&mut self, broker: &dyn Broker, limit: usize) -> Check {
        let moved = broker.forward(&queue(), limit).await.map_err(text)?;
        let mut due = self.due(TaskState::Retry);
        if self.exact {
            // Of those that are due at once, the one that was stored first.
            due.sort_by_key(|(due, id)| (*due, self.tasks[id].number));
        } else {
            due.sort();
        }
        due.truncate(limit);
        same("moved", &moved, &due.len())?;
        for (_, id) in due {
            let task = self.tasks.get_mut(&id).unwrap();
            task.state = TaskState::Pending;
            task.due = None;
            self.line.push(id);
        }
        Ok(())
    }

    async fn tidy(&mut self, broker: &dyn Broker, limit: usize) -> Check {
        let tidied = broker.tidy(&queue(), limit).await.map_err(text)?;
        let mut over = self.due(TaskState::Completed);
        same("tidied", &tidied, &Tidied { expired: over.len().min(limit), ..Tidied::default() })?;
        over.sort();
        // Of those that ended at once, which go first is the broker's own choice.
        let mut gone = 0;
        for (_, id) in over {
            if broker.find(&queue(), &id).await.map_err(text)?.is_none() {
                self.tasks.remove(&id);
                gone += 1;
            }
        }
        same("gone", &gone, &tidied.expired)
    }

    /// Counts, every task of every state, and the order of what waits.
    async fn compare(&self, broker: &dyn Broker) -> Check {
        let count = |state| self.tasks.values().filter(|task| task.state == state).count() as u64;
        let expected = QueueStats {
            pending: count(TaskState::Pending),
            active: count(TaskState::Active),
            scheduled: count(TaskState::Scheduled),
            retry: count(TaskState::Retry),
            archived: count(TaskState::Archived),
            completed: count(TaskState::Completed),
            aggregating: 0,
            processed: self.processed,
            failed: self.failed,
            paused: self.paused,
            trimmed: 0,
            oldest_pending: None,
        };
        let stats = broker.stats(&queue()).await.map_err(text)?;
        same("statistics", &QueueStats { oldest_pending: None, ..stats }, &expected)?;
        for state in TaskState::ALL {
            let mut listed = broker.list(&queue(), state, 0, 1000).await.map_err(text)?;
            if state == TaskState::Pending {
                let line: Vec<String> = listed.iter().map(|info| info.id.clone()).collect();
                same("line", &line, &self.line)?;
            }
            listed.sort_by(|a, b| a.id.cmp(&b.id));
            let listed: Vec<_> = listed
                .into_iter()
                .map(|info| (info.id, info.record.unwrap_or_default(), info.retries, info.result))
                .collect();
            let expected: Vec<_> = self
                .tasks
                .iter()
                .filter(|(_, task)| task.state == state)
                .map(|(id, task)| (id.clone(), task.record.clone(), task.retries, task.result.clone()))
                .collect();
            same(state.as_str(), &listed, &expected)?;
        }
        Ok(())
    }

    /// Tasks in `state` whose time has come.
    fn due(&self, state: TaskState) -> Vec<(i64, String)> {
        let tasks = self.tasks.iter().filter(|(_, task)| task.state == state);
        tasks.filter_map(|(id, task)| Some((task.due?, id.clone()))).collect()
    }

    /// Unix milliseconds, no two alike; longer ago comes first.
    fn time(&self, when: When, number: usize) -> i64 {
        let unique = self.steps * 100 + i64::try_from(number).unwrap();
        match when {
            When::Now => 900_000_000 + unique,
            When::Past(ago) => 800_000_000 - i64::from(ago) * 1_000_000 + unique,
            When::Future => UnixMillis::now().plus(LONG).0 + unique,
        }
    }
}

fn text(error: taskseal::broker::BrokerError) -> String {
    error.to_string()
}
