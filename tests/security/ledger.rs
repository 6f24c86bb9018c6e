//! The replay ledger among threads and processes: races, killed workers, reopened and damaged files.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, iter, thread};

use rusqlite::Connection;
use taskseal::replay::{Decision, Ledger, LedgerRefusal, ReplayQuery, SqliteLedger, StateError};
use taskseal::time::UnixMillis;
use taskseal_tests::rerun::rerun;
use taskseal_tests::test_path;
use tempfile::TempDir;

const NOW: UnixMillis = UnixMillis::from_secs(1_000_000);
const LEASE_END: UnixMillis = UnixMillis::from_secs(1_000_030);
/// Names the ledger of a child process.
const LEDGER: &str = "TASKSEAL_TEST_LEDGER";

#[test]
fn racing_claims_of_the_same_task_admit_exactly_one() {
    const TASKS: usize = 12_500;
    const THREADS: usize = 8;
    const BATCH: usize = 125;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let handles = [SqliteLedger::open(&path).unwrap(), SqliteLedger::open(&path).unwrap()];
    let first_runs: Vec<_> = iter::repeat_with(|| AtomicUsize::new(0)).take(TASKS).collect();

    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (handle, first_runs) = (&handles[thread % 2], &first_runs);
            scope.spawn(move || {
                let owner = format!("worker-{thread}");
                for batch in 0..TASKS / BATCH {
                    // Neighbours walk in opposite directions, so that they meet in the middle of a batch.
                    let numbers: Vec<_> = (batch * BATCH..(batch + 1) * BATCH)
                        .map(|number| if thread % 4 < 2 { number } else { TASKS - 1 - number })
                        .collect();
                    let queries: Vec<_> = numbers.iter().map(|&number| query(number)).collect();
                    let admissions = handle.acquire(&owner, NOW, LEASE_END, &queries).unwrap();
                    for (number, admission) in numbers.into_iter().zip(admissions) {
                        match admission {
                            Decision::FirstRun => {
                                first_runs[number].fetch_add(1, Ordering::Relaxed);
                            }
                            other => assert_eq!(other, Decision::InProgress { until: LEASE_END }),
                        }
                    }
                }
            });
        }
    });

    assert!(first_runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1));
    assert_eq!(handles[0].stats().unwrap().locked, TASKS as u64);
}

#[test]
fn processes_that_make_the_ledger_at_once_share_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");

    let opened: Vec<_> = thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| SqliteLedger::open(&path).unwrap())).collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect()
    });

    let id = opened[0].stats().unwrap().id;
    assert!(opened.iter().all(|ledger| ledger.stats().unwrap().id == id));
    assert_eq!(opened.iter().filter(|ledger| ledger.is_new()).count(), 1);
}

#[test]
fn claims_a_killed_process_was_granted_are_all_on_disk_and_whole() {
    const BATCH: usize = 8;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");

    let mut granted = 0;
    for _ in 0..5 {
        let (mut child, mut lines) = start(test_path!(child_that_claims_until_it_is_killed), &path);
        let before = granted;
        while granted < before + 25 * BATCH {
            granted = next_number(&mut lines).expect("the child claims until it is killed");
        }
        child.kill().unwrap();
        // What it printed before it died was granted too.
        granted = iter::from_fn(|| next_number(&mut lines)).last().unwrap_or(granted);
        child.wait().unwrap();

        let connection = Connection::open(&path).unwrap();
        let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        let rows: i64 = connection.query_row("SELECT count(*) FROM task", [], |row| row.get(0)).unwrap();
        let rows = usize::try_from(rows).unwrap();
        assert_eq!(rows % BATCH, 0, "a batch is claimed whole");
        assert!(rows >= granted, "{rows} rows, {granted} granted");
        granted = rows;
    }

    let ledger = SqliteLedger::open_existing(&path).unwrap();
    let queries: Vec<_> = (0..granted).map(query).collect();
    let busy = ledger.acquire("parent", NOW, LEASE_END, &queries).unwrap();
    assert!(busy.iter().all(|admission| *admission == Decision::InProgress { until: LEASE_END }));
    let lost = ledger.acquire("parent", LEASE_END, UnixMillis(LEASE_END.0 + 1), &queries).unwrap();
    assert!(lost.iter().all(|admission| *admission == Decision::Redelivery { attempt: 2, crashes: 1 }));
}

#[test]
#[ignore = "run by claims_a_killed_process_was_granted_are_all_on_disk_and_whole"]
fn child_that_claims_until_it_is_killed() {
    let Some(path) = env::var_os(LEDGER) else { return };
    let ledger = SqliteLedger::open(Path::new(&path)).unwrap();
    let taken = usize::try_from(ledger.stats().unwrap().locked).unwrap();
    for start in (taken..).step_by(8) {
        let queries: Vec<_> = (start..start + 8).map(query).collect();
        let admissions = ledger.acquire("child", NOW, LEASE_END, &queries).unwrap();
        assert!(admissions.iter().all(|admission| *admission == Decision::FirstRun));
        println!("\n:{}", start + 8);
    }
}

#[test]
fn process_killed_inside_a_transaction_leaves_neither_rows_nor_lock() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let (mut child, mut lines) = start(test_path!(child_that_stops_inside_a_transaction), &path);
    assert_eq!(next_number(&mut lines), Some(1), "one row is written and not committed");

    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(ledger.acquire("parent", NOW, LEASE_END, &[query(1)]).unwrap(), [Decision::FirstRun]);
    assert_eq!(ledger.stats().unwrap().locked, 1);
}

#[test]
#[ignore = "run by process_killed_inside_a_transaction_leaves_neither_rows_nor_lock"]
fn child_that_stops_inside_a_transaction() {
    let Some(path) = env::var_os(LEDGER) else { return };
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "BEGIN IMMEDIATE;
             INSERT INTO task (issuer, task_id, digest, state, owner, until, attempts, crashes, first_seen_at, expires_at)
             VALUES ('sensor', zeroblob(16), zeroblob(32), 'claimed', 'child', 1, 1, 0, 1, 1);",
        )
        .unwrap();
    println!("\n:1");
    // The parent keeps this pipe open and never writes: only a kill ends this.
    std::io::stdin().read_exact(&mut [0]).unwrap();
}

#[test]
fn every_state_survives_a_reopening() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let tasks: Vec<_> = (0..5).map(query).collect();
    {
        let ledger = SqliteLedger::open(&path).unwrap();
        ledger.acquire("a", NOW, LEASE_END, &tasks).unwrap();
        ledger.release("a", &[tasks[1].key()]).unwrap();
        let outcomes = [(tasks[2].key(), b"kept".to_vec()), (tasks[3].key(), b"dropped".to_vec())];
        ledger.finish("a", &outcomes).unwrap();
        ledger.settled(&[tasks[3].key()]).unwrap();
        ledger.give_back("a", &[tasks[4].key()]).unwrap();
    }

    let ledger = SqliteLedger::open(&path).unwrap();

    assert!(!ledger.is_new());
    let expected = [
        Decision::InProgress { until: LEASE_END },
        Decision::Redelivery { attempt: 2, crashes: 0 },
        Decision::Finished { outcome: b"kept".to_vec() },
        Decision::Refused(LedgerRefusal::Replayed),
        Decision::FirstRun,
    ];
    assert_eq!(ledger.acquire("b", NOW, LEASE_END, &tasks).unwrap(), expected);
}

#[test]
fn floor_survives_a_reopening_with_the_clock_set_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let task = query(1);
    {
        let ledger = SqliteLedger::open(&path).unwrap();
        ledger.acquire("a", NOW, LEASE_END, std::slice::from_ref(&task)).unwrap();
        assert_eq!(ledger.sweep(task.expires_at.plus(Duration::from_secs(3600)), 10).unwrap(), 1);
    }

    let ledger = SqliteLedger::open(&path).unwrap();

    let replayed = [Decision::Refused(LedgerRefusal::Replayed)];
    assert_eq!(ledger.acquire("a", NOW, LEASE_END, &[task]).unwrap(), replayed);
}

#[test]
fn damaged_ledger_admits_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let tasks: Vec<_> = (0..100).map(query).collect();
    SqliteLedger::open(&path).unwrap().acquire("a", NOW, LEASE_END, &tasks).unwrap();
    // The first page holds the schema and stays readable.
    let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let len = file.seek(SeekFrom::End(0)).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xff; usize::try_from(len - 4096).unwrap()]).unwrap();
    drop(file);

    let answer = SqliteLedger::open(&path).and_then(|ledger| ledger.acquire("b", NOW, LEASE_END, &tasks));

    assert!(matches!(answer, Err(StateError::Unusable { .. })), "{answer:?}");
}

fn query(number: usize) -> ReplayQuery {
    let expires_at = NOW.plus(Duration::from_secs(86_400));
    ReplayQuery {
        issuer: "sensor-17".to_owned(),
        task_id: (number as u128).to_be_bytes(),
        digest: [0xd1; 32],
        expires_at,
        max_attempts: 5,
        issued_at: None,
        ttl: None,
    }
}

/// Starts a child process that runs one ignored test and prints lines `:<number>`.
fn start(test: &str, path: &Path) -> (Child, impl BufRead + use<>) {
    let mut child = rerun(test)
        .env(LEDGER, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program was started before");
    let stdout = child.stdout.take().expect("the output is a pipe");
    (child, BufReader::new(stdout))
}

fn next_number(lines: &mut impl BufRead) -> Option<usize> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).expect("the child prints text") == 0 {
            return None;
        }
        // A line without its end was cut off by the kill.
        if let Some(number) = line.strip_prefix(':').and_then(|rest| rest.strip_suffix('\n')) {
            return Some(number.parse().expect("only numbers follow a colon"));
        }
    }
}
