//! Changes of the files of an audit log.

use std::fs;

use proptest::prelude::*;
use taskseal::audit::AuditLog;
use taskseal::keys::{Algorithm, KeyStores, SecretKey};

use super::{TestLog, edit, event};

#[test]
fn removed_line_is_found() {
    let log = TestLog::with_lines(5);
    log.edit(|lines| drop(lines.remove(2)));
    assert_eq!(log.faults(), [("missing", 3)]);
}

#[test]
fn changed_line_is_found() {
    let log = TestLog::with_lines(5);
    log.edit(|lines| lines[3] = lines[3].replace("queue-1", "queue-7"));
    assert_eq!(log.faults(), [("changed", 4)]);
}

#[test]
fn damaged_line_is_found() {
    let log = TestLog::with_lines(5);
    log.edit(|lines| lines[2] = "\n".to_owned());
    assert_eq!(log.faults(), [("damaged", 3), ("missing", 4)]);
}

#[test]
fn reordered_lines_are_found() {
    let log = TestLog::with_lines(5);
    log.edit(|lines| lines.swap(2, 3));
    assert_eq!(log.faults(), [("missing", 3), ("out-of-order", 4), ("missing", 5)]);
}

#[test]
fn duplicated_line_is_found() {
    let log = TestLog::with_lines(5);
    log.edit(|lines| lines.insert(3, lines[2].clone()));
    assert_eq!(log.faults(), [("duplicate", 4)]);
}

#[test]
fn first_lines_that_were_removed_are_missed() {
    let log = TestLog::with_lines(5);
    log.edit(|lines| drop(lines.drain(..2)));
    assert_eq!(log.faults(), [("no-beginning", 1), ("other-log", 1), ("signature", 1), ("signature", 6)]);
}

#[test]
fn lines_of_an_attacker_without_the_key_have_no_valid_checkpoint() {
    let log = TestLog::with_lines(5);
    let other = TestLog::new();
    // The attacker computes all hashes again, with another key.
    other.fill(4);
    fs::copy(&other.settings.file, &log.settings.file).unwrap();
    assert_eq!(log.faults(), [("signature", 3), ("signature", 7)]);
}

#[test]
fn checkpoint_of_another_log_with_the_same_key_is_found() {
    let log = TestLog::with_lines(1);
    let dir = tempfile::tempdir().unwrap();
    let mut settings = log.settings.clone();
    settings.file = dir.path().join("other.jsonl");
    let other = AuditLog::open(&settings, &KeyStores::default(), "a test").unwrap();
    other.record(event(0)).unwrap();
    other.checkpoint(true).unwrap();
    let text = fs::read_to_string(&settings.file).unwrap();
    let cose = |line: &str| line.split("\"cose\":").nth(1).unwrap().to_owned();
    let foreign = cose(text.lines().last().unwrap());
    log.edit(|lines| {
        let own = cose(lines[2].trim_end());
        lines[2] = lines[2].replace(&own, &foreign);
    });
    assert_eq!(log.faults(), [("signature", 3)]);
}

#[test]
fn lines_after_the_last_checkpoint_are_counted_as_not_signed() {
    let log = TestLog::with_lines(5);
    let open = log.open();
    (0..3).for_each(|number| open.record(event(number)).unwrap());
    let report = log.verify();
    assert_eq!((report.is_valid(), report.signed, report.last, report.unsigned()), (true, 8, 11, 3));
    // Nothing else in the file shows that they were there.
    log.edit(|lines| lines.truncate(9));
    let report = log.verify();
    assert_eq!((report.is_valid(), report.unsigned()), (true, 1));
}

#[test]
fn process_that_has_seen_lines_records_that_they_are_missing() {
    let log = TestLog::new();
    let open = log.open();
    (0..5).for_each(|number| open.record(event(number)).unwrap());
    log.edit(|lines| lines.truncate(3));
    open.record(event(5)).unwrap();
    let report = log.verify();
    let faults: Vec<_> = report.faults.iter().map(|fault| (fault.kind.to_string(), fault.line)).collect();
    let message = "a process has found that lines up to number 7 had been removed".to_owned();
    assert_eq!(faults, [(message, 4)]);
}

fn rotated(lines: usize) -> TestLog {
    let mut log = TestLog::new();
    log.settings.max_size = 2000;
    log.fill(lines);
    assert!(log.path("audit.jsonl.000003").exists());
    log
}

#[test]
fn file_that_is_missing_between_two_is_found() {
    let log = rotated(30);
    assert_eq!(log.faults(), []);
    fs::remove_file(log.path("audit.jsonl.000002")).unwrap();
    let report = log.verify();
    let [fault] = &report.faults[..] else { panic!("{report:?}") };
    assert_eq!((fault.kind.code(), fault.line, &fault.file), ("missing", 1, &log.path("audit.jsonl.000003")));
}

#[test]
fn files_that_were_exchanged_are_found() {
    let log = rotated(30);
    fs::rename(log.path("audit.jsonl.000001"), log.path("x")).unwrap();
    fs::rename(log.path("audit.jsonl.000002"), log.path("audit.jsonl.000001")).unwrap();
    fs::rename(log.path("x"), log.path("audit.jsonl.000002")).unwrap();
    assert!(!log.verify().is_valid());
}

#[test]
fn line_at_the_end_of_a_rotated_file_that_was_removed_is_found() {
    let log = rotated(30);
    edit(&log.path("audit.jsonl.000001"), |lines| drop(lines.pop()));
    assert_eq!(log.faults(), [("missing", 1)]);
}

#[test]
fn oldest_file_that_another_program_has_deleted_is_found() {
    let log = rotated(30);
    fs::remove_file(log.path("audit.jsonl.000001")).unwrap();
    let report = log.verify();
    let [fault] = &report.faults[..] else { panic!("{report:?}") };
    let place = (fault.kind.code(), fault.line, &fault.file);
    assert_eq!(place, ("no-beginning", 1, &log.path("audit.jsonl.000002")));
}

#[test]
fn older_file_is_found_to_be_deleted_although_the_log_has_deleted_others() {
    let mut log = TestLog::new();
    (log.settings.max_size, log.settings.keep) = (2000, 2);
    log.fill(40);
    let files = log.files().paths().to_vec();
    assert_eq!(log.faults(), []);
    fs::remove_file(&files[0]).unwrap();
    assert_eq!(log.faults(), [("no-beginning", 1)]);
}

/// A process that ends between the record and the deletion leaves the file.
#[test]
fn log_is_valid_with_an_oldest_file_that_it_states_to_have_deleted() {
    let mut log = rotated(30);
    let oldest = log.path("audit.jsonl.000001");
    let content = fs::read(&oldest).unwrap();
    // All but the current file.
    log.settings.keep = log.files().paths().len() - 1;
    while oldest.exists() {
        log.fill(1);
    }
    assert_eq!(log.faults(), []);
    fs::write(&oldest, content).unwrap();
    assert_eq!(log.faults(), []);
}

#[test]
fn log_is_valid_after_rotations_and_without_its_oldest_files() {
    let mut log = TestLog::new();
    (log.settings.max_size, log.settings.keep) = (2000, 2);
    log.fill(40);
    let files = log.files().paths().to_vec();
    assert_eq!((files.len(), log.faults()), (3, vec![]));
    let report = log.verify();
    assert!(report.first > 1 && report.unsigned() == 0 && report.checkpoints >= 3, "{report:?}");
}

/// What is done to a line.
#[derive(Clone, Debug)]
enum Edit {
    Remove,
    Duplicate,
    Swap,
    Byte(usize, u8),
    Insert(usize, u8),
    Cut(usize),
    Copy(usize),
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let at = any::<usize>;
    prop_oneof![
        Just(Edit::Remove),
        Just(Edit::Duplicate),
        Just(Edit::Swap),
        (at(), 1..=255_u8).prop_map(|(at, flip)| Edit::Byte(at, flip)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        at().prop_map(Edit::Cut),
        at().prop_map(Edit::Copy),
    ]
}

impl Edit {
    /// Returns whether the lines are others than before.
    fn apply(&self, lines: &mut Vec<Vec<u8>>, at: usize) -> bool {
        let before = lines.concat();
        let len = lines[at].len();
        match self {
            // Without its last line, a log is a log that was not signed so far.
            Self::Remove if at + 1 < lines.len() => drop(lines.remove(at)),
            Self::Remove => {}
            Self::Duplicate => lines.insert(at, lines[at].clone()),
            Self::Swap => lines.swap(at, 0),
            Self::Byte(place, flip) => lines[at][place % len] ^= flip,
            Self::Insert(place, byte) => lines[at].insert(place % (len + 1), *byte),
            Self::Cut(place) if at + 1 < lines.len() => lines[at].truncate(place % len),
            Self::Cut(_) => {}
            Self::Copy(from) => lines[at] = lines[from % lines.len()].clone(),
        }
        lines.concat() != before
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The last line is a checkpoint: a change of it is found too. It has an end, or it is cut.
    #[test]
    fn every_edit_of_a_line_is_found(count in 1..12_usize, line in any::<usize>(), change in any_edit()) {
        let log = TestLog::with_lines(count);
        let bytes = fs::read(&log.settings.file).unwrap();
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let at = line % lines.len();
        let changed = change.apply(&mut lines, at);
        fs::write(&log.settings.file, lines.concat()).unwrap();
        let report = log.verify();
        let all_signed = report.is_valid() && report.unsigned() == 0 && report.open_cut == 0;
        prop_assert_eq!(all_signed, !changed, "{:?}", report);
    }
}

#[test]
fn key_of_another_algorithm_signs_no_checkpoint_and_the_lines_are_written() {
    let mut log = TestLog::new();
    let key = log.path("mac.key");
    SecretKey::create(&key, Algorithm::Hs256, "a test").unwrap();
    log.settings.key = Some(key.into());
    log.fill(3);
    let report = log.verify();
    assert_eq!((report.is_valid(), report.last, report.checkpoints), (true, 4, 0));
}
