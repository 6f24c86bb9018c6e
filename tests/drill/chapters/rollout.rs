//! A queue of asynq whose producers do not seal: observe, prefer, enforce.

use serde_json::Value;
use taskseal_tests::fleet::new_id;

use super::{Drill, SOURCES, rights};
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
        self.start_producers_of_services();
        self.progress(5);
        let _ = self.until_status("unsealed in queue default", false);
        let unsealed: u64 = old.into_iter().map(|producer: Producer| self.load.stop(producer)).sum();

        self.tighten("prefer");
        self.progress(5);
        self.assert_refused(TYPE);
        let status = self.until_status("all recent tasks are sealed", true);

        self.tighten("enforce");
        self.assert_refused(TYPE);
        self.assert_bad_policies_change_nothing();
        self.progress(5);
        self.start_forger();
        let share = status["share_sealed_percent"].as_f64().unwrap();
        let report = format!(
            "{unsealed} unsealed tasks ran, {share:.0} % of all were sealed in the end; now enforced, 3 bad policies refused"
        );
        self.tell("introduce sealing", report);
    }

    /// Starts a forger that writes to the queue, and has a key that the deployment does not know.
    fn start_forger(&mut self) {
        self.plant.create_folder("stranger/keys/sign");
        let keygen = format!("keygen sign --out ../stranger/keys/sign/1.key {}", rights("shop"));
        let entry = self.plant.office(&keygen).ok().text();
        self.plant.configure_stranger("stranger", "shop", &[&entry, &self.keys["agreement"].entry]);
        let stranger = self.load.open(&self.plant.path("stranger"));
        self.forger = Some(forger::start(&self.load, &self.plant.redis.url(), stranger));
    }

    /// Writes the policy file. Refunds are enforced from the beginning.
    pub(super) fn set_mode(&self, mode: &str) {
        let lines = match mode {
            "enforce" => String::new(),
            _ => format!("mode = \"{mode}\"\nuntil = \"2099-12-31\"\n"),
        };
        let rules = format!("[[type]]\ntype = \"{TYPE}\"\n{lines}\n[[type]]\ntype = \"pay:refund\"\n");
        self.write_policy(&rules);
    }

    fn write_policy(&self, rules: &str) {
        self.plant.write("host/policy.next", rules);
        self.plant.rename("host/policy.next", "host/policy.toml");
    }

    /// Makes the mode stricter while the workers run.
    fn tighten(&self, mode: &str) {
        let from = self.lines();
        self.set_mode(mode);
        self.until_logged(&from, "keys-reloaded", |line| line.to_string().contains(" is replaced by "));
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

    /// A policy with a looser mode, a half-written and an emptied one: workers keep the good one, and none starts.
    fn assert_bad_policies_change_nothing(&self) {
        let rules = self.plant.read("host/policy.toml");
        let looser = format!("[[type]]\ntype = \"{TYPE}\"\nmode = \"observe\"\nuntil = \"2099-12-31\"\n");
        for bad in [looser.as_str(), &rules[..rules.len() - 2], ""] {
            let from = self.lines();
            self.write_policy(bad);
            self.until_logged(&from, "policy-reload-failed", |_| true);
            self.progress(1);
        }
        self.write_policy(&looser);
        let run = self.plant.host("worker --once");
        assert!(run.failed(1).hinted().err.contains("rollout loosen"), "{run:?}");
        self.assert_refused(TYPE);
        self.write_policy(&rules);
    }
}
