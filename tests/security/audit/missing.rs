//! Lines that are removed while a process has the log open: the process records that they are missing.

use std::fs;

use super::{TestLog, event};

/// A log of which `open` has written or read seven lines. The third is the first checkpoint.
fn seen() -> (TestLog, taskseal::audit::AuditLog) {
    let log = TestLog::new();
    let open = log.open();
    (0..5).for_each(|number| open.record(event(number)).unwrap());
    (log, open)
}

/// Returns the faults, and the lines whose event is `lines-missing`.
fn recorded(log: &TestLog) -> (Vec<(&'static str, u64)>, Vec<String>) {
    let text = fs::read_to_string(&log.settings.file).unwrap();
    let is_missing = |line: &&str| line.contains("\"event\":\"lines-missing\"");
    (log.faults(), text.lines().filter(is_missing).map(str::to_owned).collect())
}

#[test]
fn removed_lines_are_recorded_if_part_of_a_line_is_left_after_them() {
    let (log, open) = seen();
    log.edit(|lines| {
        lines.truncate(3);
        lines.push("x".to_owned());
    });
    open.record(event(5)).unwrap();
    let (faults, lines) = recorded(&log);
    assert_eq!((faults, lines.len()), (vec![("removed", 6)], 1));
    assert!(lines[0].contains("\"lines\":7,"), "{lines:?}");
}

#[test]
fn deleted_log_is_recorded_in_the_log_that_replaces_it() {
    let (log, open) = seen();
    fs::remove_file(&log.settings.file).unwrap();
    open.record(event(5)).unwrap();
    let (faults, lines) = recorded(&log);
    assert_eq!((faults, lines.len()), (vec![("removed", 2)], 1));
}

#[test]
fn log_that_was_emptied_is_recorded() {
    let (log, open) = seen();
    fs::write(&log.settings.file, "").unwrap();
    open.record(event(5)).unwrap();
    assert_eq!(recorded(&log).0, [("removed", 2)]);
}

#[test]
fn deleted_current_file_is_recorded_if_a_rotated_file_is_left() {
    let mut log = TestLog::new();
    log.settings.max_size = 2000;
    let open = log.open();
    (0..12).for_each(|number| open.record(event(number)).unwrap());
    assert!(log.path("audit.jsonl.000001").exists());
    fs::remove_file(&log.settings.file).unwrap();
    open.record(event(12)).unwrap();
    assert_eq!(recorded(&log).0, [("removed", 2)]);
}

#[test]
fn log_that_is_replaced_by_a_longer_one_is_recorded() {
    let (log, open) = seen();
    let other = TestLog::new();
    let longer = other.open();
    (0..9).for_each(|number| longer.record(event(number)).unwrap());
    // Once with the same file, once with another file of this name.
    fs::copy(&other.settings.file, &log.settings.file).unwrap();
    open.record(event(5)).unwrap();
    assert_eq!(recorded(&log).0, [("signature", 3), ("removed", 12)]);
    (0..9).for_each(|number| longer.record(event(number)).unwrap());
    fs::rename(&other.settings.file, &log.settings.file).unwrap();
    open.record(event(6)).unwrap();
    assert_eq!(recorded(&log).0, [("signature", 3), ("removed", 21)]);
}

#[test]
fn lines_that_cannot_be_recorded_as_missing_are_recorded_later() {
    let (log, open) = seen();
    fs::remove_file(&log.settings.file).unwrap();
    fs::create_dir(&log.settings.file).unwrap();
    assert!(open.record(event(5)).is_err());
    fs::remove_dir(&log.settings.file).unwrap();
    open.record(event(5)).unwrap();
    assert_eq!(recorded(&log).0, [("removed", 2)]);
}

/// Replaces the current file by one line, which states that the log has deleted the lines before it.
fn state_deletion(log: &TestLog) {
    let text = fs::read_to_string(&log.settings.file).unwrap();
    let name = text.split("\"log\":\"").nth(1).unwrap().split('"').next().unwrap();
    let (hash, at) = ("ab".repeat(32), "2026-11-30T12:00:00.000Z");
    let line = format!(
        "{{\"v\":1,\"n\":1000,\"prev\":\"{hash}\",\"at\":\"{at}\",\"event\":\"log-continued\",\"log\":\"{name}\",\
         \"removed_lines\":999,\"removed_sha256\":\"{hash}\"}}\n"
    );
    fs::write(&log.settings.file, line).unwrap();
}

#[test]
fn log_that_is_replaced_by_a_line_that_states_its_deletion_is_recorded() {
    for has_key in [true, false] {
        let mut log = TestLog::new();
        log.settings.key = log.settings.key.filter(|_| has_key);
        let open = log.open();
        (0..26).for_each(|number| open.record(event(number)).unwrap());
        open.checkpoint(true).unwrap();
        state_deletion(&log);
        open.record(event(26)).unwrap();
        open.checkpoint(true).unwrap();
        assert_eq!(recorded(&log).0, [("removed", 2)]);
    }
}

#[test]
fn checkpoint_that_does_not_cover_a_line_does_not_confirm_its_deletion() {
    let mut log = TestLog::new();
    log.settings.max_size = 2000;
    let open = log.open();
    (0..12).for_each(|number| open.record(event(number)).unwrap());
    assert!(log.path("audit.jsonl.000001").exists());
    state_deletion(&log);
    open.record(event(12)).unwrap();
    let (faults, lines) = recorded(&log);
    assert!(faults.contains(&("removed", 2)), "{faults:?}");
    assert_eq!(lines.len(), 1);
}

#[test]
fn checkpoint_of_another_log_with_the_same_key_does_not_confirm_a_deletion() {
    let (log, open) = seen();
    let mut other = TestLog::new();
    (other.settings.max_size, other.settings.keep) = (2000, 1);
    other.settings.key.clone_from(&log.settings.key);
    other.fill(40);
    assert!(other.verify().first > 20);
    fs::remove_file(&log.settings.file).unwrap();
    for path in other.files().paths() {
        fs::copy(path, log.path(path.file_name().unwrap().to_str().unwrap())).unwrap();
    }
    open.record(event(5)).unwrap();
    assert_eq!(recorded(&log).1.len(), 1);
}

#[test]
fn lines_that_another_process_rotates_or_prunes_are_not_missing() {
    for (keep, has_key) in [(1, true), (1, false), (16, true), (16, false)] {
        let mut log = TestLog::new();
        log.settings.key = log.settings.key.filter(|_| has_key);
        (log.settings.max_size, log.settings.keep) = (2000, keep);
        let (open, other) = (log.open(), log.open());
        for number in 0..4 {
            open.record(event(number)).unwrap();
            (0..15 * number).for_each(|number| other.record(event(number)).unwrap());
        }
        assert_eq!(log.faults(), []);
    }
}
