//! Crashes, full disks and several processes.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use taskseal::audit::{AuditLog, AuditSettings};
use taskseal::keys::KeyStores;
use taskseal::time::UnixMillis;
use taskseal_tests::rerun::rerun;
use taskseal_tests::test_path;

use super::{TestLog, event};

const FILE: &str = "TASKSEAL_TEST_AUDIT";
const LINES: &str = "TASKSEAL_TEST_LINES";

/// Appends lines in batches of ten and reports each batch on standard output.
#[test]
#[ignore = "child process of the tests below"]
fn appending_process() {
    let (Ok(file), Ok(lines)) = (std::env::var(FILE), std::env::var(LINES)) else { return };
    let mut settings = AuditSettings::new(file, "test");
    settings.max_size = 1 << 20;
    settings.keep = 1000;
    let log = AuditLog::open(&settings, &KeyStores::default(), "a test").unwrap();
    for batch in 0..lines.parse::<usize>().unwrap() / 10 {
        let events: Vec<_> = (0..10).map(|number| (UnixMillis::now(), event(10 * batch + number))).collect();
        match log.append(&events) {
            Ok(()) => println!("appended"),
            Err(error) => println!("failed: {error}"),
        }
    }
}

fn command(log: &TestLog, lines: usize) -> Command {
    let mut command = rerun(test_path!(appending_process));
    command.env(FILE, &log.settings.file).env(LINES, lines.to_string()).stdout(Stdio::piped());
    command
}

fn start(log: &TestLog, lines: usize) -> Child {
    command(log, lines).spawn().unwrap()
}

/// Returns how many times a process reported that it has appended ten lines.
fn appended(child: Child) -> (usize, String) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().filter(|line| line.ends_with("appended")).count(), text)
}

#[test]
fn lines_of_two_processes_have_one_order() {
    let log = TestLog::new();
    let children = [start(&log, 10_000), start(&log, 10_000)];
    for child in children {
        assert_eq!(appended(child).0, 1000);
    }
    let report = log.verify();
    assert_eq!(report.faults, []);
    // Each file has a first line.
    let files = log.files().paths().len() as u64;
    assert_eq!((report.last, report.cuts), (20_000 + files, 0));
}

#[test]
fn log_of_a_process_that_was_killed_verifies_and_continues() {
    let log = TestLog::new();
    for batches in [1, 7, 20, 43] {
        let mut child = start(&log, 1_000_000);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reported = lines.by_ref().map(Result::unwrap).filter(|line| line.ends_with("appended"));
        assert_eq!(reported.take(batches).count(), batches);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(log.faults(), []);
    }
    let before = log.verify().last;
    assert!(before > 10 * (1 + 7 + 20 + 43));
    log.fill(1);
    let report = log.verify();
    assert_eq!((report.is_valid(), report.unsigned()), (true, 0));
    assert!(report.last >= before + 2);
}

#[test]
fn line_that_a_crash_has_cut_is_recorded_by_the_next_line_and_stays() {
    for keep in [0, 1, 40, 200] {
        let log = TestLog::with_lines(3);
        let line = fs::read(&log.settings.file).unwrap();
        let part = &line[..line.iter().position(|byte| *byte == b'\n').unwrap().min(keep)];
        OpenOptions::new().append(true).open(&log.settings.file).unwrap().write_all(part).unwrap();
        let report = log.verify();
        assert_eq!((report.is_valid(), report.open_cut, report.cuts), (true, part.len() as u64, 0));
        log.fill(1);
        let report = log.verify();
        assert_eq!((report.faults.len(), report.open_cut, report.cuts), (0, 0, u64::from(keep > 0)));
        let bytes = fs::read(&log.settings.file).unwrap();
        assert_eq!(&bytes[line.len()..line.len() + part.len()], part);
    }
}

#[test]
fn changed_bytes_of_a_cut_line_are_found() {
    let log = TestLog::with_lines(3);
    OpenOptions::new().append(true).open(&log.settings.file).unwrap().write_all(b"{\"v\":1,").unwrap();
    log.fill(1);
    log.edit(|lines| lines[6] = "{\"v\":2,\n".to_owned());
    assert_eq!(log.faults(), [("damaged", 7)]);
    log.edit(|lines| drop(lines.remove(6)));
    assert_eq!(log.faults(), [("no-cut", 7)]);
}

#[test]
fn crash_between_the_steps_of_a_rotation_loses_nothing() {
    let log = TestLog::with_lines(3);
    // The file has its new name, and the next one does not exist or is empty.
    fs::rename(&log.settings.file, log.path("audit.jsonl.000001")).unwrap();
    log.fill(1);
    fs::rename(&log.settings.file, log.path("audit.jsonl.000002")).unwrap();
    fs::write(&log.settings.file, "").unwrap();
    log.fill(1);
    fs::rename(&log.settings.file, log.path("audit.jsonl.000003")).unwrap();
    fs::write(&log.settings.file, "{\"v\":1,\"n\"").unwrap();
    log.fill(1);
    let report = log.verify();
    assert_eq!((report.faults.len(), report.cuts, report.unsigned()), (0, 1, 0), "{report:?}");
}

#[test]
fn full_disk_is_an_error_and_leaves_whole_lines_that_verify() {
    let log = TestLog::new();
    let inner = command(&log, 1000);
    // Files can have 64 KiB. A process that ignores the signal gets an error, as with a full disk.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh"]).arg(inner.get_program());
    shell.args(inner.get_args()).stdout(Stdio::piped());
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (appended, text) = appended(shell.spawn().unwrap());
    assert!((1..100).contains(&appended), "{text}");
    assert!(text.contains("failed: ") && text.contains("the audit log cannot be written"), "{text}");
    let report = log.verify();
    assert_eq!((report.faults.len(), report.open_cut, report.last), (0, 0, 1 + 10 * appended as u64));
    log.fill(1);
    assert_eq!((log.faults(), log.verify().cuts), (vec![], 0));
}
