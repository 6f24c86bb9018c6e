//! The worker's log: events become lines on standard error, written by a thread of their own so that a reader that is
//! slow does not slow the worker down.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskseal::broker::Broker;
use taskseal::time::UnixMillis;
use taskseal::worker::Event;
use taskseal_core::KeyId;

use crate::cmd::moment;
use crate::ui::Ui;

/// Lines that wait for a slow reader; more are dropped and counted.
const WAITING: usize = 4096;
/// How often a queue that was away is asked for a sign of life.
const PROBE: Duration = Duration::from_secs(1);

/// One thing to tell.
struct Line {
    /// Its name in JSON.
    event: &'static str,
    at: UnixMillis,
    /// For a person; need not be escaped.
    text: String,
    /// For a program.
    members: Vec<(&'static str, Value)>,
    /// Whether it is told even to one who wants to be told little.
    grave: bool,
}

/// Takes lines from any thread.
#[derive(Clone)]
struct Sink {
    /// `None` ends the log.
    lines: SyncSender<Option<Line>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    dropped: AtomicU64,
    broker_away: AtomicBool,
    /// What the broker refused to do and keys were of no use for, and when that was last told.
    refused: Mutex<BTreeMap<String, Instant>>,
    state_away: AtomicBool,
}

/// How often it is told again that the broker refuses something, or that a key is out of reach.
const REMINDER: Duration = Duration::from_secs(60);

impl State {
    /// Whether it was not told lately that this is refused.
    fn is_news(&self, doing: &str) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_news = refused.get(doing).is_none_or(|told| now.duration_since(*told) >= REMINDER);
        if is_news {
            refused.insert(doing.to_owned(), now);
        }
        is_news
    }

    /// The next time is news.
    fn forget(&self, doing: &str) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(doing);
    }
}

/// What the worker says that it wants the key of results for, and the field that names the key.
const SEAL: &str = "seal the result";
const RESULT_KEY: &str = "worker.result_key";

pub(super) struct Log {
    sink: Sink,
    ui: Ui,
    writer: JoinHandle<()>,
}

impl Log {
    pub(super) fn start(ui: Ui) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let writer = std::thread::spawn(move || write(&waiting, ui));
        Self { sink: Sink { lines, state: Arc::default() }, ui, writer }
    }

    /// What a worker tells its events to.
    pub(super) fn observer(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let sink = self.sink.clone();
        move |event| sink.observe(event)
    }

    /// Tells something that is no event of the worker.
    pub(super) fn tell(&self, event: &'static str, text: String, members: Vec<(&'static str, Value)>) {
        self.sink.put(event, text, members, false);
    }

    /// Tells something that is no event of the worker even to who wants quiet.
    pub(super) fn warn(&self, event: &'static str, text: String, members: Vec<(&'static str, Value)>) {
        self.sink.put(event, text, members, true);
    }

    /// Finds out when a queue that was away is back: the worker speaks of failures only.
    pub(super) fn watch(&self, broker: Arc<dyn Broker>) -> impl Future<Output = ()> + Send + 'static {
        let sink = self.sink.clone();
        async move {
            loop {
                tokio::time::sleep(PROBE).await;
                if sink.state.broker_away.load(Ordering::Relaxed) && broker.queues().await.is_ok() {
                    sink.state.broker_away.store(false, Ordering::Relaxed);
                    sink.put("broker-back", "the queue answers again".to_owned(), Vec::new(), true);
                }
            }
        }
    }

    /// Tells of tokens that are away, back or given up.
    pub(super) fn watch_tokens(&self) {
        let sink = self.sink.clone();
        taskseal::keys::pkcs11::observe(move |token, event| {
            let members = vec![("token", json!(token)), ("what", json!(event.to_string()))];
            sink.put("token", format!("{token}: {event}"), members, true);
        });
    }

    /// Writes what is left. What is told from now on is lost.
    pub(super) fn end(self) {
        let Self { sink: Sink { lines, state }, ui, writer } = self;
        // A writer that is gone needs no end.
        let _ = lines.send(None);
        // A writer that panicked has nothing left to write.
        let _ = writer.join();
        let dropped = state.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            ui.warn(&format!("{dropped} lines of the log were dropped: its reader is too slow"));
        }
    }
}

impl Sink {
    fn put(&self, event: &'static str, text: String, members: Vec<(&'static str, Value)>, grave: bool) {
        let line = Line { event, at: UnixMillis::now(), text, members, grave };
        if self.lines.try_send(Some(line)).is_err() {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn observe(&self, event: &Event) {
        let id = |id: &String| vec![("id", json!(id))];
        let because = |id: &String, reason: &String| vec![("id", json!(id)), ("reason", json!(reason))];
        match event {
            Event::Started { id, attempt } => {
                self.state_answers();
                let members = vec![("id", json!(id)), ("attempt", json!(attempt))];
                self.put("started", format!("started {id}, attempt {attempt}"), members, false);
            }
            Event::Succeeded { id: task } => {
                self.put("succeeded", format!("succeeded {task}"), id(task), false);
            }
            Event::SettledAgain { id: task } => {
                let text = format!("settled {task} without running it: it had succeeded before");
                self.put("settled-again", text, id(task), false);
            }
            Event::Retried { id, reason } => {
                self.put(
                    "retried",
                    format!("failed {id}, to be retried: {reason}"),
                    because(id, reason),
                    true,
                );
            }
            Event::Archived { id, reason } => {
                self.put("archived", format!("failed {id}, archived: {reason}"), because(id, reason), true);
            }
            Event::Refused { id, queue, refusal, detail, quarantined } => {
                let kept = if *quarantined { "" } else { "; not in quarantine, only in the queue's archive" };
                let code = refusal.code();
                let text = format!("refused {id} from queue {queue} ({code}): {detail}{kept}");
                let members = vec![
                    ("id", json!(id)),
                    ("queue", json!(queue.as_str())),
                    ("code", json!(code)),
                    ("detail", json!(detail)),
                    ("quarantined", json!(quarantined)),
                ];
                self.put("refused", text, members, true);
            }
            Event::GivenBack { id: task } => {
                self.put("given-back", format!("gave {task} back"), id(task), false);
            }
            Event::LeaseLost { id: task } => {
                self.put("lease-lost", format!("lost the lease of {task}"), id(task), true);
            }
            Event::Dropped { count } => {
                self.count("dropped", *count, "ids without a task or with a second copy dropped");
            }
            Event::Recovered { count } => {
                self.count("recovered", *count, "tasks of lost workers brought back");
            }
            Event::Poisonous { count } => {
                self.count("poisonous", *count, "tasks archived that took workers down");
            }
            Event::BrokerFailed { doing, error } => {
                let is_news = if error.is_transient() {
                    !self.state.broker_away.swap(true, Ordering::Relaxed)
                } else {
                    // It answers, so it is not away, and may go on refusing this for ever.
                    self.state.is_news(doing)
                };
                if is_news {
                    let members = vec![("doing", json!(doing)), ("error", json!(error.to_string()))];
                    self.put("broker-failed", format!("cannot {doing}: {error}"), members, true);
                }
            }
            Event::KeyUnavailable { id, doing, kid, reason } => self.key_unavailable(id, doing, *kid, reason),
            Event::KeyBack { kid } => {
                self.state.forget(&format!("{SEAL}{kid}"));
                let text =
                    format!("key {kid} ({RESULT_KEY}) is back: results are sealed and tasks taken again");
                self.put(
                    "key-back",
                    text,
                    vec![("kid", json!(kid.to_string())), ("field", json!(RESULT_KEY))],
                    true,
                );
            }
            Event::GaveUp { queue } => {
                let text = format!("queue {queue} was given up: it does not answer");
                self.put("gave-up", text, vec![("queue", json!(queue.as_str()))], true);
            }
            Event::StateFailed { error } => {
                if !self.state.state_away.swap(true, Ordering::Relaxed) {
                    let text = format!("nothing is run: {error}");
                    self.put("state-failed", text, vec![("error", json!(error))], true);
                }
            }
            other => self.put("other", format!("{other:?}"), Vec::new(), false),
        }
    }

    /// Told once a minute for every key: whoever is paged must know which one to bring back.
    fn key_unavailable(&self, task: &str, doing: &str, kid: Option<KeyId>, reason: &str) {
        let kid = kid.map_or_else(|| "of an unknown kid".to_owned(), |kid| kid.to_string());
        if !self.state.is_news(&format!("{doing}{kid}")) {
            return;
        }
        let (field, meanwhile) = if doing == SEAL {
            (RESULT_KEY, "no new tasks are taken until it is back, and the result of")
        } else {
            ("worker.decryption_keys", "what is encrypted to it is put off until it is back:")
        };
        let text = format!(
            "key {kid} ({field}) is out of reach: {reason}; {meanwhile} {task} waits, perhaps others too"
        );
        let members = vec![
            ("id", json!(task)),
            ("doing", json!(doing)),
            ("kid", json!(kid)),
            ("field", json!(field)),
            ("reason", json!(reason)),
        ];
        self.put("key-unavailable", text, members, true);
    }

    fn count(&self, event: &'static str, count: usize, what: &str) {
        self.put(event, format!("{count} {what}"), vec![("count", json!(count))], true);
    }

    /// A task that starts was claimed first, so the ledger answers.
    fn state_answers(&self) {
        if self.state.state_away.swap(false, Ordering::Relaxed) {
            self.put("state-back", "ledger and quarantine answer again".to_owned(), Vec::new(), true);
        }
    }
}

fn write(lines: &Receiver<Option<Line>>, ui: Ui) {
    for Line { event, at, text, members, grave } in lines.iter().map_while(|line| line) {
        match (ui.json(), grave) {
            (true, _) if ui.quiet() && !grave => {}
            (true, _) => {
                let head = [("event", json!(event)), ("at", json!(moment::show(at)))];
                ui.event(head.into_iter().chain(members));
            }
            (false, true) => ui.warn(&text),
            (false, false) => ui.note(&text),
        }
    }
}
