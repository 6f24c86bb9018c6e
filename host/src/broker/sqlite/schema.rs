//! The tables of a queue file, plain enough to be read with `sqlite3`.

use crate::broker::TaskState;
use crate::sqlite::Schema;

/// Where tasks stand (`task`) and what they are (`message`, `result` included) are two tables with one key, so
/// that a change of state never copies a payload. A partial index a state keeps every line in its own order.
///
/// The counters in `queue` are changed in the transaction that moves the tasks: counting a million tasks is one
/// read. All times are unix milliseconds, but those of asynq's message, which are unix seconds.
pub(super) const SCHEMA: Schema = Schema {
    kind: "queue",
    application_id: i32::from_be_bytes(*b"tskq"),
    version: 1,
    sql: "
CREATE TABLE queue (
    name TEXT NOT NULL PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0,
    enqueued INTEGER NOT NULL DEFAULT 0,
    processed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
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
    position INTEGER, -- pending: place in the line, lowest out first
    pending_since INTEGER, -- pending
    process_at INTEGER, -- scheduled, retry: when it becomes pending
    lease_token TEXT, -- active: who holds it
    lease_until INTEGER, -- active: when the lease runs out
    archived_at INTEGER, -- archived
    expires_at INTEGER, -- completed: when it is deleted
    crashes INTEGER NOT NULL DEFAULT 0 -- workers lost while they held it
) STRICT;

CREATE UNIQUE INDEX task_id ON task (queue, id);
CREATE INDEX task_pending ON task (queue, position) WHERE state = 'pending';
CREATE INDEX task_active ON task (queue, lease_until) WHERE state = 'active';
CREATE INDEX task_scheduled ON task (queue, process_at) WHERE state = 'scheduled';
CREATE INDEX task_retry ON task (queue, process_at) WHERE state = 'retry';
CREATE INDEX task_archived ON task (queue, archived_at) WHERE state = 'archived';
CREATE INDEX task_completed ON task (queue, expires_at) WHERE state = 'completed';

CREATE TABLE message (
    seq INTEGER PRIMARY KEY, -- that of the task
    type TEXT NOT NULL,
    retry INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    error_msg TEXT NOT NULL,
    timeout INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    unique_key TEXT NOT NULL,
    last_failed_at INTEGER NOT NULL,
    retention INTEGER NOT NULL,
    completed_at INTEGER NOT NULL,
    group_key TEXT NOT NULL,
    headers TEXT, -- a JSON object, or NULL for none
    payload BLOB NOT NULL,
    result BLOB
) STRICT;
",
};

/// What a line of tasks in one state is ordered by; the name of a column of `task`.
pub(super) const fn order_of(state: TaskState) -> &'static str {
    match state {
        TaskState::Pending => "position",
        TaskState::Active => "lease_until",
        TaskState::Scheduled | TaskState::Retry => "process_at",
        TaskState::Archived => "archived_at",
        TaskState::Completed => "expires_at",
    }
}
