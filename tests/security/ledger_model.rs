//! The replay ledger and a model that keeps everything in a map: every sequence of calls has the same results.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use taskseal::replay::{
    Decision, Ledger, LedgerRefusal, OUTCOME_MARGIN, ReplayQuery, SWEEP_MARGIN, SqliteLedger, TaskKey,
};
use taskseal::time::UnixMillis;
use tempfile::TempDir;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ledger_answers_as_the_model_does(steps in vec(step(), 1..60)) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ledger.db");
        let mut ledger = SqliteLedger::open(&path).unwrap();
        let mut model = Model::default();
        let mut now = 1_000_000;

        for step in steps {
            let owner = ["a", "b", "c"][step.owner];
            let keys: Vec<_> = step.tasks.iter().map(|task| task.query().key()).collect();
            let outcomes: Vec<_> = keys.iter().map(|key| (key.clone(), outcome(key))).collect();
            let until = now + step.amount;
            match step.verb {
                Verb::Acquire => {
                    let queries: Vec<_> = step.tasks.iter().map(Task::query).collect();
                    let answer = ledger.acquire(owner, UnixMillis(now), UnixMillis(until), &queries).unwrap();
                    let expected: Vec<_> =
                        queries.iter().map(|query| model.acquire(owner, now, until, query)).collect();
                    prop_assert_eq!(answer, expected);
                }
                Verb::Extend => {
                    let answer = ledger.extend(owner, &keys, UnixMillis(until)).unwrap();
                    let expected =
                        model.each(owner, &keys, |row| row.claim = Some((owner.to_owned(), until)));
                    prop_assert_eq!(answer, expected);
                }
                Verb::Begin => {
                    let answer = ledger.begin(owner, &keys).unwrap();
                    prop_assert_eq!(answer, model.each(owner, &keys, |row| row.begun = true));
                }
                Verb::Finish => {
                    let answer = ledger.finish(owner, &outcomes).unwrap();
                    let expected = model.each(owner, &keys, |row| (row.claim, row.ended) = (None, true));
                    prop_assert_eq!(answer, expected);
                }
                Verb::Settled => {
                    prop_assert_eq!(ledger.settled(&keys).unwrap(), model.settled(&keys));
                }
                Verb::Release => {
                    let answer = ledger.release(owner, &keys).unwrap();
                    prop_assert_eq!(answer, model.each(owner, &keys, |row| row.claim = None));
                }
                Verb::GiveBack => {
                    let answer = ledger.give_back(owner, &keys).unwrap();
                    let expected = model.each(owner, &keys, |row| {
                        row.claim = None;
                        row.attempts -= 1;
                    });
                    prop_assert_eq!(answer, expected);
                }
                Verb::Sweep => {
                    prop_assert_eq!(ledger.sweep(UnixMillis(now), 100).unwrap(), model.sweep(now));
                }
                Verb::Advance => now += step.amount * 20,
                Verb::NextDay => now += UnixMillis(0).plus(OUTCOME_MARGIN).0,
                Verb::SetBack => now -= step.amount * 20,
                Verb::Reopen => ledger = SqliteLedger::open_existing(&path).unwrap(),
            }
            let stats = ledger.stats().unwrap();
            let counts = [stats.locked, stats.waiting, stats.finished, stats.done];
            prop_assert_eq!(counts, model.counts());
        }
    }
}

#[derive(Clone, Debug)]
struct Step {
    verb: Verb,
    owner: usize,
    tasks: Vec<Task>,
    /// Milliseconds: a lease, or a twentieth of how far the clock moves.
    amount: i64,
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Acquire,
    Extend,
    Begin,
    Finish,
    Settled,
    Release,
    GiveBack,
    Sweep,
    Advance,
    NextDay,
    SetBack,
    Reopen,
}

/// One of few tasks, so that steps meet; `forged` has the same id and another digest.
#[derive(Clone, Copy, Debug)]
struct Task {
    issuer: bool,
    id: u8,
    forged: bool,
}

impl Task {
    fn query(&self) -> ReplayQuery {
        // Later ids expire later, within the reach of the clock of a run.
        let expires_at = UnixMillis(1_000_000).plus(Duration::from_secs(60) * u32::from(self.id) * 4);
        ReplayQuery {
            issuer: if self.issuer { "sensor" } else { "server" }.to_owned(),
            task_id: [self.id; 16],
            digest: [u8::from(self.forged); 32],
            expires_at,
            max_attempts: u32::from(self.id) + 2,
            issued_at: None,
            ttl: None,
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let verb = prop_oneof![
        8 => Just(Verb::Acquire),
        2 => Just(Verb::Extend),
        2 => Just(Verb::Begin),
        3 => Just(Verb::Finish),
        2 => Just(Verb::Settled),
        4 => Just(Verb::Release),
        2 => Just(Verb::GiveBack),
        2 => Just(Verb::Sweep),
        4 => Just(Verb::Advance),
        1 => Just(Verb::NextDay),
        1 => Just(Verb::SetBack),
        1 => Just(Verb::Reopen),
    ];
    let task = (any::<bool>(), 0_u8..4, prop::bool::weighted(0.1)).prop_map(|(issuer, id, forged)| Task {
        issuer,
        id,
        forged,
    });
    (verb, 0_usize..3, vec(task, 1..6), 1_i64..30_000).prop_map(|(verb, owner, tasks, amount)| Step {
        verb,
        owner,
        tasks,
        amount,
    })
}

fn outcome(key: &TaskKey) -> Vec<u8> {
    [key.issuer.as_bytes(), &key.task_id].concat()
}

#[derive(Default)]
struct Model {
    rows: BTreeMap<TaskKey, ModelRow>,
    floor: Option<i64>,
}

struct ModelRow {
    digest: [u8; 32],
    expires_at: i64,
    attempts: u32,
    crashes: u32,
    claim: Option<(String, i64)>,
    /// Whether the attempt under the claim counts if the claim expires.
    begun: bool,
    ended: bool,
    settled: bool,
}

impl Model {
    fn acquire(&mut self, owner: &str, now: i64, until: i64, query: &ReplayQuery) -> Decision {
        let expires_at = query.expires_at.0;
        if !self.rows.contains_key(&query.key()) && self.floor.is_some_and(|floor| expires_at <= floor) {
            return Decision::Refused(LedgerRefusal::Replayed);
        }
        let row = self.rows.entry(query.key()).or_insert_with(|| ModelRow {
            digest: query.digest,
            expires_at,
            attempts: 0,
            crashes: 0,
            claim: None,
            begun: false,
            ended: false,
            settled: false,
        });
        if row.digest != query.digest {
            return Decision::Refused(LedgerRefusal::Conflict);
        }
        if row.settled {
            return Decision::Refused(LedgerRefusal::Replayed);
        }
        if row.ended {
            return Decision::Finished { outcome: outcome(&query.key()) };
        }
        match row.claim {
            Some((_, end)) if end > now => return Decision::InProgress { until: UnixMillis(end) },
            Some(_) if row.begun => row.crashes += 1,
            Some(_) => row.attempts -= 1,
            None => {}
        }
        row.claim = None;
        if row.crashes == 3 {
            return Decision::Refused(LedgerRefusal::Poisonous { crashes: 3 });
        }
        if row.attempts == query.max_attempts {
            return Decision::Refused(LedgerRefusal::AttemptsExhausted);
        }
        row.attempts += 1;
        row.begun = row.attempts < query.max_attempts && row.crashes < 2;
        row.claim = Some((owner.to_owned(), until));
        match row.attempts {
            1 => Decision::FirstRun,
            attempt => Decision::Redelivery { attempt, crashes: row.crashes },
        }
    }

    /// Changes the rows that `owner` has a claim on, in order, and returns which.
    fn each(&mut self, owner: &str, keys: &[TaskKey], mut change: impl FnMut(&mut ModelRow)) -> Vec<bool> {
        keys.iter()
            .map(|key| match self.rows.get_mut(key) {
                Some(row) if row.claim.as_ref().is_some_and(|(holder, _)| holder == owner) => {
                    change(row);
                    true
                }
                _ => false,
            })
            .collect()
    }

    fn settled(&mut self, keys: &[TaskKey]) -> Vec<bool> {
        keys.iter()
            .map(|key| match self.rows.get_mut(key) {
                Some(row) if row.ended => {
                    row.settled = true;
                    true
                }
                _ => false,
            })
            .collect()
    }

    fn sweep(&mut self, now: i64) -> usize {
        let margin = UnixMillis(0).plus(SWEEP_MARGIN).0;
        let before = self.rows.len();
        let floor = &mut self.floor;
        self.rows.retain(|_, row| {
            let live = row.claim.as_ref().is_some_and(|(_, end)| *end > now);
            let unsettled = row.ended && !row.settled;
            let margin_of_this = if unsettled { UnixMillis(0).plus(OUTCOME_MARGIN).0 } else { margin };
            let keep = live || row.expires_at + margin_of_this >= now;
            if !keep {
                *floor = (*floor).max(Some(row.expires_at + margin));
            }
            keep
        });
        before - self.rows.len()
    }

    /// Claimed, waiting, finished, done.
    fn counts(&self) -> [u64; 4] {
        let [mut claimed, mut waiting, mut finished, mut done] = [0; 4];
        for row in self.rows.values() {
            *match (&row.claim, row.ended, row.settled) {
                (Some(_), ..) => &mut claimed,
                (None, false, _) => &mut waiting,
                (None, true, false) => &mut finished,
                (None, true, true) => &mut done,
            } += 1;
        }
        [claimed, waiting, finished, done]
    }
}
