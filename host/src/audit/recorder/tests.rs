use std::fs;

use super::*;
use crate::audit::LogFiles;
use crate::keys::KeyStores;

fn lost(count: u64) -> AuditEvent {
    AuditEvent::LinesLost { count }
}

/// Without the lines that are known to be on the disk, a retry would record them twice.
#[test]
fn lines_before_a_rotation_that_fails_are_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = AuditSettings::new(dir.path().join("audit.jsonl"), "test");
    (settings.max_size, settings.keep) = (2000, 2);
    let log = AuditLog::open(&settings, &KeyStores::default(), "a test").unwrap();
    log.record(lost(0)).unwrap();
    // They have the names of rotated files: the new file cannot begin.
    let obstacles = ["audit.jsonl.000001", "audit.jsonl.000002"].map(|name| dir.path().join(name));
    obstacles.iter().for_each(|path| fs::create_dir(path).unwrap());

    let lines = (1..=10).map(|count| (UnixMillis::now(), lost(count))).collect();
    let waiting = Waiting { lines, refusals: Refusals::new(1), lost: 0, is_ending: false };
    let shared = Shared {
        log,
        checkpoint_every: Duration::from_secs(600),
        waiting: Mutex::new(waiting),
        wake: Condvar::new(),
    };
    let mut failure = Failure::default();
    assert!(!shared.write_waiting(&mut failure));
    let left = lock(&shared.waiting).lines.len();
    assert!((1..10).contains(&left), "{left}");
    obstacles.iter().for_each(|path| fs::remove_dir(path).unwrap());
    assert!(shared.write_waiting(&mut failure));

    let (mut counts, files) = (Vec::new(), LogFiles::of(&settings.file).unwrap());
    for path in files.paths() {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        counts.extend(lines.filter_map(|line| line["count"].as_u64()));
    }
    assert_eq!(counts, (0..=10).collect::<Vec<_>>());
}
