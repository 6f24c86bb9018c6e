//! What `enqueue` stores, and what it refuses to store.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::brokers::on_both_brokers;
use crate::support::program::taskseal;
use crate::support::project::{OPEN, Project, SEAL};
use crate::support::queue::{ENQUEUE, ONCE, terminate};

const JSONL: [&str; 7] = ["enqueue", "--queue", "default", "--type", "file:digest", "--jsonl", "-"];

/// Changes of a project after which a worker refuses its tasks, each with the refusal code.
const REFUSALS: [(&str, &str, &str, &str); 6] = [
    ("keyset.toml", "types = [\"*\"]", "types = [\"email:*\"]", "type-not-allowed"),
    ("keyset.toml", "issuers = [\"producer\"]", "issuers = [\"shop\"]", "issuer-not-allowed"),
    ("keyset.toml", "audiences = [\"local/*\"]", "audiences = [\"local/other\"]", "audience-not-allowed"),
    ("taskseal.toml", "max_body = \"1MiB\"", "max_body = \"4B\"", "too-large"),
    ("taskseal.toml", "max_lifetime = \"24h\"", "max_lifetime = \"1h\"", "lifetime-too-long"),
    ("taskseal.toml", "suites = [\"SP\"]", "suites = [\"SE\"]", "suite-not-allowed"),
];

/// Number of tasks in all states.
fn stored(project: &Project) -> u64 {
    let run = project.run(&["queue", "ls", "--json"]);
    let text = run.ok().text();
    let queues = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let states = ["pending", "scheduled", "active", "retry", "archived", "completed"];
    queues.map(|queue| states.map(|state| queue[state].as_u64().unwrap()).iter().sum::<u64>()).sum()
}

fn start(project: &Project, arguments: &[&str]) -> Child {
    taskseal(project.dir.path(), &[], arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads one line, or fails after a minute without one.
fn read_line(reader: BufReader<ChildStdout>) -> (String, BufReader<ChildStdout>) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let (mut line, mut reader) = (String::new(), reader);
        reader.read_line(&mut line).unwrap();
        let _ = sender.send((line, reader));
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("a line is printed while the input is open")
}

#[test]
fn each_line_is_enqueued_and_its_id_printed_while_the_input_is_open() {
    let project = Project::new();
    let mut child = start(&project, &JSONL);
    let mut input = child.stdin.take().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());

    let mut ids = BTreeSet::new();
    // The start of the next line does not hold up the line before.
    for text in ["{\"body\": 1}\n", "{\"body\": 2}\n{\"bo", "dy\": 3}\n{\"body\": 4}\n{"] {
        input.write_all(text.as_bytes()).unwrap();
        for _ in 0..text.matches('\n').count() {
            let line;
            (line, reader) = read_line(reader);
            ids.insert(line);
        }
        assert_eq!(stored(&project), ids.len() as u64);
    }
    input.write_all(b"\"body\": 5}\n").unwrap();
    drop(input);

    assert!(child.wait().unwrap().success());
    assert_eq!((ids.len(), stored(&project)), (4, 5));
}

#[test]
fn task_that_a_worker_would_refuse_is_not_enqueued_unless_it_is_forced() {
    for (file, from, to, code) in REFUSALS {
        let project = Project::new();
        project.edit(file, from, to);

        for mode in [&ENQUEUE[..], &JSONL] {
            let run = project.run_with(mode, b"{\"body\": \"a body\"}\n");
            run.failed(3).hinted();
            assert!(run.out.is_empty() && run.err.contains(code) && run.err.contains("--force"), "{run:?}");
        }
        assert_eq!(stored(&project), 0, "{code}");

        for mode in [&ENQUEUE[..], &JSONL] {
            let run = project.run_with(&[mode, &["--force"]].concat(), b"{\"body\": \"a body\"}\n");
            assert!(run.ok().err.contains("would refuse"), "{run:?}");
        }
        assert_eq!(stored(&project), 2, "{code}");
    }
}

#[test]
fn retired_producer_enqueues_and_seals_nothing_and_reads_its_results() {
    let project = Project::new();
    let receipt = project.run_with(&[&ENQUEUE[..], &["--json"]].concat(), b"a body").json();
    project.edit(
        "keyset.toml",
        "issuers = [\"producer\"]",
        "issuers = [\"producer\"]\nstate = \"retiring\"\naccept_until = \"2100-01-01T00:00:00Z\"",
    );
    for command in [&ENQUEUE[..], &JSONL, &SEAL] {
        let run = project.run_with(command, b"{\"body\": \"a body\"}\n");
        run.failed(3).hinted();
        assert!(run.out.is_empty() && run.err.contains("retiring"), "{run:?}");
    }
    assert_eq!(stored(&project), 1);
    project.run(&ONCE).ok();
    project.run(&["result", receipt["id"].as_str().unwrap()]).ok();
}

#[test]
fn forwarded_envelope_that_a_worker_would_refuse_is_enqueued_only_if_it_is_forced() {
    on_both_brokers(|project| {
        let forward = ["enqueue", "--queue", "default", "--sealed", "-"];
        let stranger = Project::new().seal(b"");
        project.run_with(&forward, &stranger).failed(3).hinted();
        project.run_with(&[&forward[..], &["--force"]].concat(), b"no envelope").failed(3).hinted();
        assert_eq!(stored(project), 0);

        let run = project.run_with(&[&forward[..], &["--force"]].concat(), &stranger);
        assert!(run.ok().err.contains("unknown-key"), "{run:?}");
        assert_eq!(stored(project), 1);
    });
}

#[test]
fn refused_lines_are_named_and_counted_and_the_others_are_enqueued() {
    on_both_brokers(|project| {
        project.edit("keyset.toml", "types = [\"*\"]", "types = [\"file:*\"]");
        let lines = "{\"body\": 1}\n{\"body\": 2, \"type\": \"a\"}\n\n{\"body\": 3}\n{\"body\": 4, \"type\": \"b\"}\n";

        let run = project.run_with(&[&JSONL[..], &["--json"]].concat(), lines.as_bytes());

        run.failed(3).hinted();
        for part in ["-:2: ", "-:5: ", "2 tasks are enqueued", "2 type-not-allowed"] {
            assert!(run.err.contains(part), "{part}: {run:?}");
        }
        let text = run.text();
        let enqueued = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].clone());
        assert_eq!(enqueued.collect::<Vec<_>>(), [1, 4]);
        assert_eq!(stored(project), 2);
    });
}

#[test]
fn task_whose_type_has_no_handler_yet_is_enqueued_with_a_warning() {
    on_both_brokers(|project| {
        let lines = b"{\"body\": 1, \"type\": \"no:such\"}\n{\"body\": 2}\n";
        let run = project.run_with(&JSONL, lines);
        assert!(run.ok().err.contains("1 tasks wait") && run.err.contains("type-not-handled"), "{run:?}");
        let sealed =
            project.run_with(&["seal", "--queue", "default", "--type", "no:such"], b"").ok().out.clone();
        let run = project.run_with(&["enqueue", "--queue", "default", "--sealed", "-"], &sealed);
        assert!(run.ok().err.contains("would postpone it"), "{run:?}");
        assert_eq!(stored(project), 3);
    });
}

#[test]
fn reader_that_does_not_take_the_id_makes_enqueue_fail_and_name_the_task() {
    on_both_brokers(|project| {
        let sealed = project.seal(b"x");
        let forward = ["enqueue", "--queue", "default", "--sealed", "-"];
        for (arguments, input) in [(&ENQUEUE[..], &b""[..]), (&forward, &sealed)] {
            let mut child = start(project, arguments);
            drop(child.stdout.take());
            child.stdin.take().unwrap().write_all(input).unwrap();
            let output = child.wait_with_output().unwrap();

            let err = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{err}");
            assert!(
                err.contains("has closed it: task ") && err.contains("hint: `taskseal task inspect"),
                "{err}"
            );
        }
        assert_eq!(stored(project), 2);
    });
}

#[test]
fn signal_stops_enqueue_after_whole_lines_and_names_the_last_one() {
    on_both_brokers(|project| {
        let mut child = start(project, &JSONL);
        let mut input = child.stdin.take().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        // A batch whose ids are printed, then two lines and a half.
        input.write_all("{\"body\": 1}\n".repeat(130).as_bytes()).unwrap();
        input.write_all(b"{\"body\": ").unwrap();
        let mut id = String::new();
        for _ in 0..128 {
            out.read_line(&mut id).unwrap();
        }

        terminate(&child);
        let (mut ids, mut err) = (String::new(), String::new());
        out.read_to_string(&mut ids).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let code = child.wait().unwrap().code();
        drop(input);

        let last = 128 + ids.lines().count();
        assert!(code == Some(1) && last <= 130, "{err}");
        assert!(err.contains(&format!("after line {last}: {last} tasks are enqueued")), "{err}");
        assert!(err.contains(&format!("hint: continue after line {last}")), "{err}");
        assert_eq!(stored(project), last as u64);
    });
}

#[test]
fn timeout_above_the_limit_of_the_worker_is_noted_once() {
    let note = |project: &Project, arguments: &[&str], input: &[u8]| {
        project.run_with(arguments, input).ok().err.matches("`max_timeout`").count()
    };
    let long = [&ENQUEUE[..], &["--timeout", "2h"]].concat();
    let lines = b"{\"body\": 1, \"timeout\": \"2h\"}\n{\"body\": 2, \"timeout\": \"3h\"}\n";
    let project = Project::new();
    let sealed = project.run_with(&[&SEAL[..], &["--timeout", "2h"]].concat(), b"x").ok().out.clone();
    let forward = ["enqueue", "--queue", "default", "--sealed", "-"];
    assert_eq!(note(&project, &ENQUEUE, b""), 0);
    for (arguments, input) in [(&long[..], &b""[..]), (&JSONL, lines), (&forward, &sealed)] {
        assert_eq!(note(&project, arguments, input), 1, "{arguments:?}");
    }

    project.edit("taskseal.toml", "[worker]\n", "[worker]\nmax_timeout = \"2h\"\n");
    assert_eq!(note(&project, &long, b""), 0);
    project.edit("taskseal.toml", "[client]\n", "[client]\ntimeout = \"3h\"\n");
    assert_eq!(note(&project, &ENQUEUE, b""), 1);
}

#[test]
fn task_enqueued_with_a_reference_is_found_by_it_and_a_second_one_is_a_conflict() {
    on_both_brokers(|project| {
        let with_reference = [&ENQUEUE[..], &["--ref", "order-1"]].concat();
        project.run(&[&ENQUEUE[..], &["--ref", "a b"]].concat()).failed(2);
        project.run_with(&JSONL, b"{\"body\": 1, \"ref\": \"a b\"}\n").failed(2);
        let json = project.run(&[&with_reference[..], &["--json"]].concat()).ok().json();
        assert_eq!(json["ref"], "order-1");
        project.run(&with_reference).failed(1).hinted();
        project.run_with(&JSONL, b"{\"body\": 1, \"ref\": \"order-2\"}\n").ok();
        assert_eq!(stored(project), 2);

        project.run(&["result", "order-1"]).failed(6);
        project.run(&ONCE).ok();

        for reference in ["order-1", "order-2"] {
            assert!(project.run(&["result", reference]).ok().text().contains("sha256"));
        }
    });
}

#[test]
fn bytes_that_are_not_an_envelope_are_refused_with_the_place_that_differs() {
    let project = Project::new();
    let whole = project.seal(b"x");
    let tag_in_two_bytes = [&[0xd8, 0x12], &whole[1..]].concat();
    for (bytes, part) in [
        (whole[1..].to_vec(), "byte 0: an array of 4 without a tag"),
        (tag_in_two_bytes, "byte 0: tag 18 in two bytes"),
        ([&whole[..], b"\n"].concat(), "1 bytes behind the end"),
        (whole[..whole.len() - 1].to_vec(), "the end, expected 64 bytes"),
    ] {
        for arguments in [&["inspect"][..], &["enqueue", "--queue", "default", "--sealed", "-"], &OPEN] {
            let run = project.run_with(arguments, &bytes);
            run.failed(3).hinted();
            assert!(run.err.contains(part), "{run:?}");
        }
    }
}
