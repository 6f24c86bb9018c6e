use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::replay::{Decision, Ledger, ReplayQuery, SqliteLedger};
use crate::time::UnixMillis;

const NOW: UnixMillis = UnixMillis::from_secs(1_000_000);
const UNTIL: UnixMillis = UnixMillis::from_secs(1_000_030);

fn query(number: u64) -> ReplayQuery {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    ReplayQuery {
        issuer: "sensor-17".to_owned(),
        task_id: id,
        digest: [7; 32],
        expires_at: NOW.plus(Duration::from_secs(3600)),
        max_attempts: 5,
        issued_at: None,
        ttl: None,
    }
}

#[test]
fn a_ledger_that_is_deleted_while_a_task_runs_admits_extends_and_records_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let running = [query(1).key()];
    assert_eq!(ledger.acquire("a", NOW, UNTIL, &[query(1)]).unwrap(), [Decision::FirstRun]);
    fs::remove_file(&path).unwrap();

    let error = ledger.acquire("a", NOW, UNTIL, &[query(2)]).unwrap_err();
    assert!(matches!(error, StateError::Moved { kind: StateKind::Ledger, .. }), "{error}");
    assert!(error.to_string().contains("ledger.db"), "{error}");
    assert!(ledger.extend("a", &running, UNTIL).is_err());
    assert!(ledger.finish("a", &[(running[0].clone(), vec![1])]).is_err());
    assert!(ledger.stats().is_err());
}

#[test]
fn a_ledger_that_another_one_takes_the_place_of_admits_nothing() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = folder.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    drop(SqliteLedger::open(&other.path().join("ledger.db")).unwrap());
    fs::copy(other.path().join("ledger.db"), folder.path().join("next")).unwrap();
    fs::rename(folder.path().join("next"), &path).unwrap();

    let answer = ledger.acquire("a", NOW, UNTIL, &[query(1)]);
    assert!(matches!(answer, Err(StateError::Moved { .. })), "{answer:?}");
}

/// A file system in memory of 2 MiB, unmounted when dropped.
struct SmallVolume(TempDir);

impl SmallVolume {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.path().display());
    }
}

#[test]
fn a_ledger_on_a_volume_of_2_mib_records_a_thousand_tasks() {
    let Some(volume) = SmallVolume::mount() else {
        eprintln!("SKIPPED: cannot mount a file system in memory");
        return;
    };
    let ledger = SqliteLedger::open(&volume.path().join("ledger.db")).unwrap();
    for number in 0..1000 {
        let admitted = ledger.acquire("a", NOW, UNTIL, &[query(number)]).unwrap();
        assert_eq!(admitted, [Decision::FirstRun], "task {number}");
        ledger.finish("a", &[(query(number).key(), vec![7; 100])]).unwrap();
        ledger.settled(&[query(number).key()]).unwrap();
    }
    drop(ledger);
}
