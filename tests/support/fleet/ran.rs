//! What workers ran, and a task that they run.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::sync::{Arc, Mutex};

use taskseal::handler::{Function, Handlers, OpenedTask, Output};
use taskseal_core::TaskId;

use super::{Fleet, PRODUCER, Sealed};

/// Handlers of `email:*` and `invoice:*` that note what they ran.
#[derive(Clone, Debug, Default)]
pub struct Ran(Arc<Mutex<Vec<TaskId>>>);

impl Ran {
    /// The handlers.
    #[must_use]
    pub fn handlers(&self) -> Handlers {
        self.handlers_of(&["email:*", "invoice:*"])
    }

    /// Handlers of these patterns.
    #[must_use]
    pub fn handlers_of(&self, patterns: &[&str]) -> Handlers {
        let mut handlers = Handlers::default();
        for pattern in patterns {
            let ran = self.clone();
            let run = move |task: OpenedTask| {
                ran.0.lock().unwrap().push(task.id);
                async { Ok(Output::empty()) }
            };
            handlers.insert(pattern, Arc::new(Function::new(run)));
        }
        handlers
    }

    /// What ran, in the order in which it began.
    #[must_use]
    pub fn all(&self) -> Vec<TaskId> {
        self.0.lock().unwrap().clone()
    }
}

impl Fleet {
    /// A fresh task that every worker runs.
    #[must_use]
    pub fn good(&self) -> Sealed {
        self.seal(&self.sealing_key(PRODUCER), |claims| claims)
    }
}
