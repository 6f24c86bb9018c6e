//! A queue of asynq whose producers do not seal: observe, prefer, enforce.

use serde_json::Value;
use taskseal_tests::fleet::new_id;

use super::{Drill, SOURCES};
use crate::load::{Producer, TYPE};
use crate::waiting::until;
use crate::{forger, unsealed};

impl Drill {
    pub(crate) fn introduce_sealing(&mut self) {
        let url = self.plant.redis.url();
        let old = [self.load.store_unsealed("old-1", &url), self.load.store_unsealed("old-2", &url)];
        for name in ["worker-a", "worker-b"] {
            self.start_worker(name);
        }
        self.load.progress(&old.iter().collect::<Vec<_>>(), 15);
        let _ = self.until_status("no sealed task was accepted", false);
        self.assert_refused("pay:refund");

        for name in [&["shop", "mill"][..], &SOURCES].concat() {
            self.start_producer(name);
        }
        self.progress(5);
        let _ = self.until_status("unsealed in queue default", false);
        let unsealed: u64 = old.into_iter().map(|producer: Producer| self.load.stop(producer)).sum();

        self.set_mode("prefer");
        self.restart_workers();
        self.progress(5);
        self.assert_refused(TYPE);
        let status = self.until_status("all recent tasks are sealed", true);

        self.set_mode("enforce");
        self.restart_workers();
        self.assert_refused(TYPE);
        self.assert_not_loosened();
        self.progress(5);
        self.forger = Some(forger::start(&self.load, &url));
        let share = &status["share_sealed_percent"];
        let report = format!("{unsealed} unsealed tasks ran, then {share:.4} % were sealed; now enforced");
        self.tell("introduce sealing", report);
    }

    /// Writes the policy file. Refunds are enforced from the beginning.
    pub(super) fn set_mode(&self, mode: &str) {
        let lines = match mode {
            "enforce" => String::new(),
            _ => format!("mode = \"{mode}\"\nuntil = \"2099-12-31\"\n"),
        };
        let rules = format!("[[type]]\ntype = \"{TYPE}\"\n{lines}\n[[type]]\ntype = \"pay:refund\"\n");
        self.plant.write("host/policy.toml", &rules);
    }

    /// Waits until `rollout status` prints this reason for the type: workers write their counts from time to time.
    fn until_status(&self, why: &str, is_safe: bool) -> Value {
        until(why, || {
            let printed = self.plant.host("rollout status --quiet-for 2s --json").ok().text();
            let mut lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let status = lines.find(|line| line["type"] == TYPE).unwrap();
            let has_reason = status["why"].as_str().unwrap().starts_with(why);
            (has_reason && status["safe_to_enforce"] == is_safe).then_some(status)
        })
    }

    /// Stores an unsealed task and waits until it is refused.
    fn assert_refused(&self, task_type: &str) {
        let (id, mut redis) = (new_id().to_string(), self.plant.redis.raw());
        self.load.accounts.entries().forged.insert(id.clone(), "it is not sealed");
        unsealed::store(&mut redis, &id, task_type, b"unsealed");
        until("an unsealed task to be archived", || {
            (unsealed::state(&mut redis, &id).0.as_deref() == Some("archived")).then_some(())
        });
        let refused = self.plant.host("quarantine ls --code unsealed --json").ok().text();
        assert!(refused.contains(&id), "{refused}");
    }

    /// A mode that was enforced becomes no looser without a command.
    fn assert_not_loosened(&self) {
        self.set_mode("observe");
        let run = self.plant.host("worker --once");
        assert!(run.failed(1).hinted().err.contains("rollout loosen"), "{run:?}");
        self.set_mode("enforce");
    }
}
