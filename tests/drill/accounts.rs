//! What was enqueued and what became of it. At the end, every good task has run once and no other has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use crate::ran::Ran;

/// Counts of a drill, shared by its producers.
#[derive(Debug, Default)]
pub(crate) struct Accounts(Mutex<Entries>);

#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Tasks of good producers, with the producer.
    pub(crate) good: BTreeMap<String, String>,
    /// Those whose results were as expected.
    pub(crate) verified: BTreeSet<String>,
    /// Tasks that nothing may run, with what was done.
    pub(crate) forged: BTreeMap<String, &'static str>,
    /// Number of good tasks that were replayed or altered after their end.
    pub(crate) replayed: u64,
    /// Tasks that were sealed with a stolen key.
    pub(crate) stolen: BTreeSet<String>,
    /// Number of times that a producer had no key to seal with, and waited.
    pub(crate) held_back: u64,
    /// What must not happen.
    pub(crate) faults: Vec<String>,
}

impl Accounts {
    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap()
    }

    pub(crate) fn fault(&self, fault: String) {
        self.entries().faults.push(fault);
    }

    /// Fails if something has happened that must not.
    pub(crate) fn check(&self) {
        let entries = self.entries();
        assert!(entries.faults.is_empty(), "{:#?}", entries.faults);
    }
}

impl Entries {
    /// Returns what is wrong with the starts of handlers.
    pub(crate) fn differences(&self, ran: &[Ran]) -> Vec<String> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for start in ran {
            *counts.entry(start.id.as_str()).or_default() += 1;
        }
        let count = |id: &str| counts.get(id).copied().unwrap_or(0);
        let mut found = Vec::new();
        for (id, producer) in &self.good {
            if count(id) != 1 {
                found.push(format!("task {id} of {producer} ran {} times", count(id)));
            }
            if !self.verified.contains(id) {
                found.push(format!("task {id} of {producer} has no result"));
            }
        }
        let forged = self.forged.iter().filter(|(id, _)| count(id) > 0);
        found.extend(forged.map(|(id, what)| format!("forged task {id} ran: {what}")));
        for (id, count) in counts {
            let is_known = self.good.contains_key(id) || self.forged.contains_key(id);
            match (is_known, self.stolen.contains(id)) {
                (false, false) => found.push(format!("task {id} ran, and no producer has enqueued it")),
                (false, true) if count > 1 => found.push(format!("stolen task {id} ran {count} times")),
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(ids: &[&str]) -> Vec<Ran> {
        let start = |id: &&str| Ran { id: (*id).to_owned(), issuer: String::new(), at: 0 };
        ids.iter().map(start).collect()
    }

    fn entries() -> Entries {
        let mut entries = Entries::default();
        for id in ["a", "b"] {
            entries.good.insert(id.to_owned(), "shop".to_owned());
            entries.verified.insert(id.to_owned());
        }
        entries.forged.insert("f".to_owned(), "a copy");
        entries.stolen.insert("s".to_owned());
        entries
    }

    #[test]
    fn task_that_ran_twice_or_never_or_is_forged_or_unknown_is_found() {
        for (ids, expected) in [
            (&["a", "a", "b"][..], "task a of shop ran 2 times"),
            (&["a"], "task b of shop ran 0 times"),
            (&["a", "b", "f"], "forged task f ran: a copy"),
            (&["a", "b", "x"], "task x ran, and no producer has enqueued it"),
            (&["a", "b", "s", "s"], "stolen task s ran 2 times"),
        ] {
            assert_eq!(entries().differences(&ran(ids)), [expected]);
        }
        assert!(entries().differences(&ran(&["s", "b", "a"])).is_empty());
    }

    #[test]
    fn good_task_without_a_result_is_found() {
        let mut entries = entries();
        entries.verified.remove("b");
        assert_eq!(entries.differences(&ran(&["a", "b"])), ["task b of shop has no result"]);
    }
}
