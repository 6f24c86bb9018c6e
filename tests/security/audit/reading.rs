//! What a service puts in the place of files of its log neither blocks root, who verifies it, nor leads root to other files.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use taskseal::audit::{self, LogFiles};

use super::TestLog;
use super::owners::shared;

const ROTATED: &str = "audit.jsonl.000001";

/// Returns why the files of the log cannot be verified.
fn unreadable(log: &TestLog) -> String {
    audit::verify(&log.files(), &[log.public]).unwrap_err().to_string()
}

fn unreadable_if_named(path: &Path) -> String {
    audit::verify(&LogFiles::named(vec![path.to_owned()]), &[]).unwrap_err().to_string()
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn pipe_in_the_place_of_a_file_of_the_log_does_not_block_the_reader() {
    let log = TestLog::with_lines(3);
    make_pipe(&log.path(ROTATED));
    for error in [unreadable(&log), unreadable_if_named(&log.path(ROTATED))] {
        assert!(error.contains(ROTATED) && error.contains("not a regular file"), "{error}");
    }
}

#[test]
fn link_in_the_place_of_a_file_of_the_log_is_not_followed_by_the_reader() {
    let log = TestLog::with_lines(3);
    symlink("/dev/zero", log.path(ROTATED)).unwrap();
    let error = unreadable(&log);
    assert!(error.contains(ROTATED) && error.contains("symbolic link"), "{error}");
    let error = unreadable_if_named(Path::new("/dev/zero"));
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn hard_link_of_a_service_to_a_file_of_root_is_not_read() {
    let Some((log, elsewhere)) = shared() else { return };
    log.fill(3);
    fs::hard_link(elsewhere.path().join("of root"), log.path(ROTATED)).unwrap();
    let error = unreadable(&log);
    assert!(error.contains("belongs to uid 0"), "{error}");
}

#[test]
fn sparse_file_of_many_terabytes_does_not_keep_the_reader_busy() {
    let log = TestLog::with_lines(3);
    let path = log.path(ROTATED);
    File::create(&path).unwrap().set_len(8 << 40).unwrap();
    for error in [unreadable(&log), unreadable_if_named(&path)] {
        assert!(error.contains("no end of line"), "{error}");
    }
}

#[test]
fn folder_of_a_log_that_does_not_exist_is_not_created_by_the_reader() {
    let log = TestLog::new();
    let error = LogFiles::of(&log.path("state/audit.jsonl")).unwrap_err().to_string();
    assert!(error.contains("no such file"), "{error}");
    assert!(!log.path("state").exists());
}
