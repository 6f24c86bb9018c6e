//! The tables of a queue file; `sqlite3` can show them.

use crate::broker::TaskState;
use crate::sqlite::Schema;

/// The state of a task (`task`), what its producer stored (`record`) and its result (`result`) are three tables with one
/// key, so that a change of state never copies an envelope. One partial index for each state keeps its tasks in order.
///
/// The counters in `queue` change in the transaction that moves the tasks: counting a million tasks is one read. All
/// times are Unix milliseconds.
pub(super) const SCHEMA: Schema = Schema {
    kind: "queue",
    application_id: i32::from_be_bytes(*b"tskq"),
    version: 5,
    sql: "
CREATE TABLE queue (
    name TEXT NOT NULL PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0,
    enqueued INTEGER NOT NULL DEFAULT 0,
    processed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    trimmed INTEGER NOT NULL DEFAULT 0, -- archived tasks deleted by the limits of the archive
    pending INTEGER NOT NULL DEFAULT 0,
    active INTEGER NOT NULL DEFAULT 0,
    scheduled INTEGER NOT NULL DEFAULT 0,
    retry INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
    seq INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    id TEXT NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 1024),
    state TEXT NOT NULL
        CHECK (state IN ('pending', 'active', 'scheduled', 'retry', 'archived', 'completed')),
    position INTEGER, -- pending: lowest leased first
    pending_since INTEGER, -- pending
    process_at INTEGER, -- scheduled, retry: when it becomes pending
    lease_token TEXT, -- active: fencing token of the lease
    lease_until INTEGER, -- active: when the lease expires
    archived_at INTEGER, -- archived
    expires_at INTEGER, -- completed: when it is deleted
    retries INTEGER NOT NULL DEFAULT 0,
    last_error TEXT, -- why the last attempt failed
    last_failed_at INTEGER,
    completed_at INTEGER -- completed: when it succeeded
) STRICT;

CREATE UNIQUE INDEX task_id ON task (queue, id);
CREATE INDEX task_pending ON task (queue, position) WHERE state = 'pending';
CREATE INDEX task_active ON task (queue, lease_until) WHERE state = 'active';
CREATE INDEX task_scheduled ON task (queue, process_at) WHERE state = 'scheduled';
CREATE INDEX task_retry ON task (queue, process_at) WHERE state = 'retry';
CREATE INDEX task_archived ON task (queue, archived_at) WHERE state = 'archived';
CREATE INDEX task_completed ON task (queue, expires_at) WHERE state = 'completed';

CREATE TABLE record (
    seq INTEGER PRIMARY KEY, -- that of the task
    type TEXT NOT NULL,
    max_retries INTEGER, -- NULL: not set
    timeout_ms INTEGER, -- NULL: not set
    retention_ms INTEGER NOT NULL,
    envelope BLOB NOT NULL
) STRICT;

CREATE TABLE result (
    seq INTEGER PRIMARY KEY, -- that of the task
    envelope BLOB NOT NULL
) STRICT;

CREATE TABLE process (
    id TEXT NOT NULL PRIMARY KEY,
    status BLOB NOT NULL, -- signed
    until INTEGER NOT NULL -- when it is deleted
) STRICT, WITHOUT ROWID;
",
};

/// The statement of [`SCHEMA`] that creates the index of the ids: the comparison of tables is to the letter.
pub(super) const ID_INDEX: &str = "CREATE UNIQUE INDEX task_id ON task (queue, id)";

/// The states of tasks in a queue file. Only asynq has others.
pub(super) const STATES: [TaskState; 6] = [
    TaskState::Pending,
    TaskState::Active,
    TaskState::Scheduled,
    TaskState::Retry,
    TaskState::Archived,
    TaskState::Completed,
];

/// Returns the column of `task` by which tasks in `state` are ordered.
pub(super) const fn order_of(state: TaskState) -> &'static str {
    match state {
        TaskState::Pending => "position",
        TaskState::Active => "lease_until",
        TaskState::Scheduled | TaskState::Retry => "process_at",
        TaskState::Archived => "archived_at",
        TaskState::Completed | TaskState::Aggregating => "expires_at",
    }
}
