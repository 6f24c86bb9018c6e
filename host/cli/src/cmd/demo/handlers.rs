//! The handlers of the demonstration, which record every run.

use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use taskseal::handler::{Failure, Function, Handlers, OpenedTask, Output};
use taskseal_core::{ContentType, TaskId};

use crate::output::json::hex;

/// Task types of the demonstration.
pub(super) const DIGEST: &str = "file:digest";
pub(super) const FAIL: &str = "file:fail";
const NOTE: &str = "note:*";

/// One run of a handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) id: TaskId,
    /// SHA-256 of the body.
    pub(super) digest: [u8; 32],
}

/// The runs of all handlers.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(Arc<Mutex<Vec<Run>>>);

impl Runs {
    /// Returns every run so far.
    pub(super) fn all(&self) -> Vec<Run> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record(&self, task: &OpenedTask) {
        let run = Run { id: task.id, digest: Sha256::digest(&task.body).into() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(run);
    }

    /// Returns handlers that record their runs.
    pub(super) fn handlers(&self) -> Handlers {
        let mut handlers = Handlers::default();
        let runs = self.clone();
        let digest = move |task: OpenedTask| {
            runs.record(&task);
            async move { Ok(Output::new(ContentType::JSON, answer(&task.body))) }
        };
        handlers.insert(DIGEST, Arc::new(Function::new(digest)));
        let runs = self.clone();
        let fail = move |task: OpenedTask| {
            runs.record(&task);
            async { Err(Failure::TryAgain("fails every time".to_owned())) }
        };
        handlers.insert(FAIL, Arc::new(Function::new(fail)));
        let runs = self.clone();
        let note = move |task: OpenedTask| {
            runs.record(&task);
            async { Ok(Output::empty()) }
        };
        handlers.insert(NOTE, Arc::new(Function::new(note)));
        handlers
    }
}

/// Returns the result for a body: its length and SHA-256. The check of the results computes it the same way.
pub(super) fn answer(body: &[u8]) -> Vec<u8> {
    let sha256 = hex(&Sha256::digest(body));
    serde_json::json!({ "bytes": body.len(), "sha256": sha256 }).to_string().into_bytes()
}
