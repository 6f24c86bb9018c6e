//! A worker: the program, its log, and its signals.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::taskseal;
use crate::waiting::{LIMIT, PAUSE, until};

/// A worker that runs.
pub(crate) struct WorkerProcess {
    pub(crate) name: &'static str,
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
}

impl WorkerProcess {
    /// Starts the worker whose configuration is `NAME.toml` in this folder, and waits until it takes tasks.
    pub(crate) fn start(folder: &Path, environment: &[(&str, &Path)], name: &'static str) -> Self {
        let config = format!("{name}.toml");
        let mut child = taskseal(folder, environment, &["--config", &config, "worker", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<Value>>>::default();
        let (lines, noting) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        let reader = thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                noting.lock().unwrap().push(line);
            }
        });
        let worker = Self { name, child, log, reader: Some(reader) };
        worker.until(0, "ready", |_| true);
        worker
    }

    /// Returns the number of lines so far.
    pub(crate) fn lines(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// Waits for a line of this event, from line `from` on, and returns it.
    pub(crate) fn until(&self, from: usize, event: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let log = self.log.lock().unwrap().clone();
            let found = log.iter().skip(from).find(|line| line["event"] == event && matches(line));
            if let Some(line) = found {
                return line.clone();
            }
            let name = self.name;
            assert!(Instant::now() < deadline, "{name} has not logged {event}: {:#?}", without_runs(&log));
            thread::sleep(PAUSE);
        }
    }

    /// Has it load its keys now.
    pub(crate) fn reload(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Stops it: its handlers end, and it exits with 0.
    pub(crate) fn stop(mut self) -> Vec<Value> {
        self.signal(Signal::TERM);
        let status = until("the worker to end", || self.child.try_wait().unwrap());
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        assert!(
            status.success(),
            "{}: {status}: {:#?}",
            self.name,
            log.iter().rev().take(10).collect::<Vec<_>>()
        );
        log
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the last lines that are not about tasks.
fn without_runs(log: &[Value]) -> Vec<String> {
    let is_other =
        |line: &&Value| !["started", "succeeded", "refused"].iter().any(|event| line["event"] == *event);
    log.iter().rev().filter(is_other).take(20).map(Value::to_string).collect()
}
