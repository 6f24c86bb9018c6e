//! Changes by an attacker who writes to the queue past the broker.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use redis::{Commands, cmd};

use super::AnyQueue;

impl AnyQueue {
    /// Makes the next attempt of a task due.
    pub fn pull_forward(&self, id: &str) {
        match self {
            Self::Embedded(file) => {
                let changed = file.intruder().execute("UPDATE task SET process_at = 1 WHERE id = ?1", [id]);
                assert_eq!(changed, Ok(1));
            }
            Self::Redis(server) => {
                let _: () = server.raw().zadd("asynq:{mail}:retry", id, 1).unwrap();
            }
            Self::Elsewhere => panic!("belongs to another process"),
        }
    }

    /// Puts a pending task under another id and leaves its message as it is.
    pub fn rename(&self, id: &str, to: &str) {
        match self {
            Self::Embedded(file) => {
                let changed = file.intruder().execute("UPDATE task SET id = ?2 WHERE id = ?1", [id, to]);
                assert_eq!(changed, Ok(1));
            }
            Self::Redis(server) => {
                let mut raw = server.raw();
                let _: () = raw.rename(task_key(id), task_key(to)).unwrap();
                let removed: usize = raw.lrem("asynq:{mail}:pending", 1, id).unwrap();
                assert_eq!(removed, 1);
                let _: () = raw.lpush("asynq:{mail}:pending", to).unwrap();
            }
            Self::Elsewhere => panic!("belongs to another process"),
        }
    }

    /// Deletes an archived or completed task, so that its id is free again.
    pub fn delete(&self, id: &str) {
        match self {
            Self::Embedded(file) => {
                let delete = "DELETE FROM task WHERE id = ?1 AND state IN ('archived', 'completed')";
                file.intruder().execute(delete, [id]).unwrap();
            }
            Self::Redis(server) => {
                let mut raw = server.raw();
                for set in ["archived", "completed"] {
                    let removed: usize = raw.zrem(format!("asynq:{{mail}}:{set}"), id).unwrap();
                    if removed > 0 {
                        let _: () = raw.del(task_key(id)).unwrap();
                    }
                }
            }
            Self::Elsewhere => panic!("belongs to another process"),
        }
    }

    /// Hands an active task out once more while it runs.
    pub fn hand_out_again(&self, id: &str) {
        match self {
            Self::Embedded(file) => {
                let pending = "UPDATE task SET state = 'pending', position = 0, pending_since = 0, \
                               lease_token = NULL, lease_until = NULL WHERE id = ?1 AND state = 'active'";
                file.intruder().execute(pending, [id]).unwrap();
            }
            Self::Redis(server) => {
                let mut raw = server.raw();
                let _: () = cmd("LREM").arg("asynq:{mail}:active").arg(0).arg(id).query(&mut raw).unwrap();
                let _: () = raw.zrem("asynq:{mail}:lease", id).unwrap();
                if raw.exists(task_key(id)).unwrap() {
                    let _: () = raw.hset(task_key(id), "state", "pending").unwrap();
                    let _: () = raw.rpush("asynq:{mail}:pending", id).unwrap();
                }
            }
            Self::Elsewhere => panic!("belongs to another process"),
        }
    }
}

fn task_key(id: &str) -> String {
    format!("asynq:{{mail}}:t:{id}")
}
