//! The demonstration: what it prints, what it keeps, and its broker on a Redis with a password.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use taskseal_tests::redis::{RedisServer, unavailable};
use tempfile::TempDir;

use crate::support::program::{Run, run_in, run_with_environment};

/// A folder with three files to seal.
fn input() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("input")).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(folder.path().join("input").join(name), name).unwrap();
    }
    folder
}

fn demo(folder: &TempDir, arguments: &[&str]) -> Run {
    run_in(folder.path(), &[&["demo", "--input", "input"], arguments].concat(), b"")
}

#[test]
fn a_folder_that_is_not_empty_is_not_used() {
    let folder = input();

    demo(&folder, &["--keep", "input"]).failed(1).hinted();

    assert_eq!(fs::read_dir(folder.path().join("input")).unwrap().count(), 3);
}

#[test]
fn report_begins_with_what_is_used_and_ends_with_the_next_command() {
    let run = demo(&input(), &[]);

    let text = run.ok().text();
    let head: Vec<&str> =
        text.lines().skip(1).take(7).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(head, ["started", "version", "broker", "suite", "keys", "processor", "input"]);
    assert!(
        text.contains("\npassed in ") && text.contains(" 3 of 3 tasks ran once, 24 of 24 attacks"),
        "{text}"
    );
    assert!(text.contains("\nnext: taskseal init "), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    // One line for each step in place of the progress bars of a terminal.
    let steps = "taskseal: 3 tasks sealed, run and answered\ntaskseal: 24 attacks\n";
    assert_eq!(run.err, steps);
}

#[test]
fn report_explains_each_code_and_names_the_metadata_that_differs() {
    let text = demo(&input(), &[]).ok().text();

    let (attacks, codes) = text.split_once("\nwhat the codes mean:\n").unwrap();
    let refused = attacks.lines().filter_map(|line| line.split_once("refused: "));
    for code in refused.filter_map(|(_, end)| end.split(' ').next()) {
        assert!(codes.lines().any(|line| line.split_whitespace().next() == Some(code)), "{code}: {codes}");
    }
    for (attack, word) in [("retype-metadata", "type"), ("swap-payloads", "id"), ("replay-new-id", "id")] {
        let line = attacks.lines().find(|line| line.trim_start().starts_with(attack)).unwrap();
        assert!(line.ends_with(&format!("refused: metadata-mismatch ({word})")), "{line}");
    }
}

#[test]
fn a_kept_folder_is_read_by_the_other_commands() {
    let folder = input();

    let text = demo(&folder, &["--keep", "kept"]).ok().text();

    assert!(text.contains("&& taskseal quarantine ls\n"), "{text}");
    let kept = folder.path().join("kept");
    let listed = run_in(&kept, &["quarantine", "ls", "--code", "replayed", "--json"], b"");
    assert_eq!(listed.ok().text().lines().count(), 1);
    let completed = run_in(&kept, &["task", "ls", "--queue", "demo", "--state", "completed", "--json"], b"");
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    let ids: Vec<_> = completed.ok().text().lines().map(id).collect();
    assert!(ids.len() >= 3, "{ids:?}");
}

#[test]
fn json_has_the_members_that_programs_read() {
    let report = demo(&input(), &["--json"]).ok().json();

    let members: Vec<&String> = report.as_object().unwrap().keys().collect();
    let expected = [
        "v",
        "inputs",
        "left_out",
        "executed",
        "results_verified",
        "lost",
        "forged_executed",
        "quarantined",
        "enqueued_per_second",
        "finished_per_second",
        "attacks",
    ];
    for member in expected {
        assert!(members.iter().any(|name| *name == member), "{member}: {members:?}");
    }
    for attack in report["attacks"].as_array().unwrap() {
        for member in ["name", "about", "refused", "stopped"] {
            assert!(!attack[member].is_null(), "{member}: {attack}");
        }
    }
}

#[test]
fn password_of_redis_comes_from_a_file_or_a_variable_and_is_not_printed() {
    if let Some(reason) = unavailable() {
        eprintln!("SKIPPED: {reason}");
        return;
    }
    const PASSWORD: &str = "not-for-the-process-list";
    let server = RedisServer::start_with(&["--requirepass", PASSWORD]);
    let (folder, url) = (input(), server.url());
    let with = |environment: &[(&str, &Path)], arguments: &[&str]| {
        let all = [&["demo", "--input", "input", "--broker", &url], arguments].concat();
        run_with_environment(folder.path(), environment, &all, b"")
    };

    with(&[], &[]).failed(5).hinted();
    let variable = ("DEMO_PASSWORD", Path::new(PASSWORD));
    let from_variable = with(&[variable], &["--password-env", "DEMO_PASSWORD"]);
    let file = folder.path().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let from_file = with(&[], &["--password-file", "password"]);

    for run in [from_variable, from_file] {
        assert!(run.ok().text().contains("\npassed in "), "{run:?}");
        assert!(!run.text().contains(PASSWORD) && !run.err.contains(PASSWORD), "{run:?}");
    }
}
