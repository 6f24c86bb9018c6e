//! Commands on a queue: enqueue, run, read the result, inspect what was refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::io::{BufRead, BufReader};

use serde_json::Value;
use sha2::{Digest, Sha256};
use taskseal_tests::fake_redis::FakeRedis;
use taskseal_tests::redis::RedisServer;

use crate::support::brokers::on_both_brokers;
use crate::support::project::{Project, SEAL};
use crate::support::queue::{ENQUEUE, ONCE, terminate};

const EVIL: &str = "a\u{1b}[2J\u{9b}\u{202e}b\n";

fn sample_digest() -> String {
    let digest = Sha256::digest(b"Bytes worth sealing.\n");
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn run_the_promise(project: &Project) {
    let id = project.enqueue();

    project.run(&["result", &id]).failed(6).hinted();
    project.run(&ONCE).ok();
    let result = project.run(&["result", &id]);

    let answer: Value = serde_json::from_slice(&result.ok().out).unwrap();
    assert_eq!(answer["sha256"], sample_digest().as_str());
    let json = project.run(&["result", &id, "--queue", "default", "--json"]).ok().json();
    assert_eq!((&json["v"], &json["id"], &json["worker"]), (&1.into(), &id.into(), &"worker".into()));
    assert!(json["body"].as_str().unwrap().contains(&sample_digest()));
}

#[test]
fn what_init_promises_works_on_the_embedded_queue() {
    run_the_promise(&Project::new());
}

#[test]
fn what_init_promises_works_on_redis() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = Project::new();
    let url = format!("url = \"{}\"", server.url());
    project.edit("taskseal.toml", "# url = \"rediss://taskseal@redis.example:6380/0\"", &url);

    run_the_promise(&project);
}

#[test]
fn unavailable_queue_gives_exit_code_5() {
    let project = Project::new();
    let url = "# url = \"rediss://taskseal@redis.example:6380/0\"";
    project.edit("taskseal.toml", url, "url = \"redis://127.0.0.1:1/0\"");
    let id = "0193a5b0-0000-7000-8000-000000000001";

    for arguments in [
        ENQUEUE.as_slice(),
        &ONCE,
        &["result", id],
        &["queue", "ls"],
        &["task", "ls", "--queue", "default"],
        &["task", "inspect", id],
    ] {
        let run = project.run(arguments);
        run.failed(5).hinted();
        assert!(run.err.contains("redis://127.0.0.1:1"), "{run:?}");
    }
}

#[test]
fn addresses_of_several_servers_give_exit_code_2_and_their_line() {
    for url in
        ["redis-sentinel://h:26379/mymaster", "redis+cluster://h", "redis://h1,h2", "redis://h/mymaster"]
    {
        let project = Project::new();
        let line = format!("url = \"{url}\"");
        project.edit("taskseal.toml", "# url = \"rediss://taskseal@redis.example:6380/0\"", &line);

        let run = project.run(&["queue", "ls"]);

        run.failed(2).hinted();
        assert!(run.err.contains("taskseal.toml:") && !run.err.contains("not a queue"), "{run:?}");
    }
}

#[test]
fn a_failure_of_redis_names_the_setting_that_is_wrong() {
    for (reply, step) in [
        ("-NOAUTH Authentication required.", "`password_file`"),
        ("-WRONGPASS invalid username-password pair or user is disabled.", "`password_file`"),
        ("-NOPERM this user has no permissions to run the 'ping' command", "`redis.md`"),
        ("-ERR unknown command 'SMEMBERS', with args beginning with: 'asynq:queues'", "Sentinel"),
        ("-MOVED 3999 127.0.0.1:6381", "Redis Cluster"),
        ("-READONLY You can't write against a read only replica", "replica"),
    ] {
        let server = FakeRedis::start(move |_| format!("{reply}\r\n").into_bytes());
        let project = Project::new();
        let url = format!("url = \"{}\"", server.url());
        project.edit("taskseal.toml", "# url = \"rediss://taskseal@redis.example:6380/0\"", &url);

        let run = project.run(&["queue", "ls"]);

        run.failed(5).hinted();
        assert!(run.err.contains(step) && run.err.contains(&server.url()), "{run:?}");
        assert!(!run.err.contains("check that a Redis server runs"), "{run:?}");
    }
}

#[test]
fn worker_reports_an_unavailable_queue_once_and_still_stops() {
    let project = Project::new();
    let url = "# url = \"rediss://taskseal@redis.example:6380/0\"";
    project.edit("taskseal.toml", url, "url = \"redis://127.0.0.1:1/0\"");
    let mut worker = project.spawn(&["worker", "--json"], &[]);
    let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut events: Vec<Value> = Vec::new();
    while events.last().is_none_or(|event| event["event"] != "broker-failed") {
        events.push(serde_json::from_str(&lines.next().unwrap()).unwrap());
    }

    terminate(&worker);
    events.extend(lines.map(|line| serde_json::from_str(&line).unwrap()));
    let output = worker.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(0));
    let failed = events.iter().filter(|event| event["event"] == "broker-failed").count();
    assert_eq!((failed, &events[0]["v"]), (1, &1.into()), "{events:?}");
    let tally: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(tally["broker_failures"].as_u64().unwrap() >= 1, "{tally}");
}

#[test]
fn wrong_usage_of_queue_commands_gives_exit_code_2_and_enqueues_nothing() {
    let project = Project::new();
    for arguments in [
        ["enqueue", "--type", "t"].as_slice(),
        &["enqueue", "--queue", "default"],
        &["enqueue", "--queue", "a b", "--type", "t"],
        &["enqueue", "--queue", "default", "--type", "a b"],
        &["enqueue", "--queue", "default", "--type", "t", "--in", "1"],
        &["enqueue", "--queue", "default", "--type", "t", "--at", "noon"],
        &["enqueue", "--queue", "default", "--type", "t", "--at", "2030-01-01T00:00:00Z", "--in", "1h"],
        &["enqueue", "--queue", "default", "--type", "t", "--id", "1"],
        &["enqueue", "--queue", "default", "--type", "t", "--attempts", "0"],
        &["enqueue", "--queue", "default", "--type", "t", "--content-type", "\n"],
        &["task", "ls", "--queue", "default", "--state", "lost"],
        &["quarantine", "ls", "--code", "bad-luck"],
        &["result", "a b"],
    ] {
        project.run(arguments).failed(2);
    }
    assert_eq!(project.counts()["pending"], 0);
}

#[test]
fn what_is_not_there_gives_exit_code_4() {
    let project = Project::new();
    let id = "0193a5b0-0000-7000-8000-000000000001";
    for arguments in [
        ["result", id].as_slice(),
        &["task", "inspect", id],
        &["task", "inspect", id, "--queue", "default"],
        &["task", "ls", "--queue", "nowhere"],
        &["quarantine", "show", "7"],
        &["quarantine", "export", "7"],
        &["quarantine", "prune", "7"],
    ] {
        project.run(arguments).failed(4).hinted();
    }
}

#[test]
fn id_that_is_taken_is_a_conflict_and_changes_nothing() {
    let project = Project::new();
    let arguments = [&ENQUEUE[..], &["--id", "0193a5b0-0000-7000-8000-000000000001"]].concat();
    project.run(&arguments).ok();
    let before = project.run(&["task", "ls", "--queue", "default", "--json"]).ok().text();

    let run = project.run(&arguments);

    run.failed(1).hinted();
    assert!(run.out.is_empty());
    assert_eq!(project.run(&["task", "ls", "--queue", "default", "--json"]).ok().text(), before);
}

#[test]
fn task_of_a_type_without_handler_is_postponed_and_explained() {
    let project = Project::new();
    let warned = project.run_with(&["enqueue", "--queue", "default", "--type", "no:such"], b"x");
    assert!(
        warned.ok().err.contains("would postpone it") && warned.err.contains("type-not-handled"),
        "{warned:?}"
    );
    let warned = project.run_with(&["enqueue", "--queue", "default", "--type", "file:digest"], b"x");
    assert!(!warned.ok().err.contains("would postpone"), "{warned:?}");

    let run = project.run(&[&ONCE[..], &["--json"]].concat());

    assert_eq!(run.ok().json()["postponed"]["type-not-handled"], 1);
    assert!(run.err.contains("[[handler]]"), "{}", run.err);
    let tasks = project.run(&["task", "ls", "--queue", "default", "--state", "retry"]).ok().text();
    assert!(tasks.contains("no:such"), "{tasks}");
}

#[test]
fn tampered_task_is_refused_kept_whole_and_never_run() {
    let project = Project::new();
    project.handler("touch ran");
    let id = project.enqueue();
    let storage = project.storage();
    let mut payload: Vec<u8> =
        storage.query_row("SELECT envelope FROM record", [], |row| row.get(0)).unwrap();
    *payload.last_mut().unwrap() ^= 1;
    storage.execute("UPDATE record SET envelope = ?1", [&payload]).unwrap();
    drop(storage);

    let worker = project.run(&ONCE);

    worker.ok();
    assert!(worker.err.contains(&format!(" refused {id} from queue default (rejected): ")));
    assert!(!project.path("ran").exists());
    let list = project.run(&["quarantine", "ls", "--code", "rejected"]).ok().text();
    assert!(list.contains(&id), "{list}");
    assert_eq!(project.run(&["quarantine", "ls", "--code", "expired", "--json"]).ok().text(), "");
    let shown = project.run(&["quarantine", "show", "1"]).ok().text();
    for expected in ["rejected", "not authentic", "check who can write", "archived", "kid_known"] {
        assert!(shown.contains(expected), "{shown}");
    }
    project.run(&["quarantine", "export", "1", "-o", "kept"]).ok();
    assert_eq!(fs::read(project.path("kept")).unwrap(), payload);
    project.run(&["result", &id]).failed(3);
}

#[test]
fn forged_and_swapped_results_give_exit_code_3() {
    let project = Project::new();
    let ids = [project.enqueue(), project.enqueue()];
    project.run(&ONCE).ok();
    let storage = project.storage();
    let of = "(SELECT seq FROM task WHERE id = ?1)";
    let other: Vec<u8> = storage
        .query_row(&format!("SELECT envelope FROM result WHERE seq = {of}"), [&ids[1]], |row| row.get(0))
        .unwrap();
    for (result, code) in [(b"{\"sha256\":\"0\"}".to_vec(), "unsealed"), (other, "wrong-request")] {
        let forge = format!("UPDATE result SET envelope = ?2 WHERE seq = {of}");
        storage.execute(&forge, rusqlite::params![ids[0], result]).unwrap();

        let run = project.run(&["result", &ids[0]]);

        run.failed(3);
        assert!(run.out.is_empty() && run.err.contains(&format!("({code})")), "{run:?}");
    }
    project.run(&["result", &ids[1]]).ok();
}

#[test]
fn paused_queue_hands_out_no_task_until_it_is_resumed() {
    on_both_brokers(|project| {
        let id = project.enqueue();

        let missing = project.run(&["queue", "pause", "nowhere"]);
        missing.failed(4).hinted();
        assert!(missing.out.is_empty(), "{missing:?}");
        assert_eq!(project.run(&["queue", "pause", "default"]).ok().text(), "queue default is paused\n");
        let again = project.run(&["queue", "pause", "default", "--json"]).ok().json();
        let expected = serde_json::json!({ "v": 1, "queue": "default", "paused": true, "changed": false });
        assert_eq!(again, expected);
        assert_eq!(project.run(&["queue", "ls", "--json"]).ok().json()["paused"], true);
        project.run(&ONCE).ok();
        project.run(&["result", &id]).failed(6);

        let resumed = project.run(&["queue", "resume", "default", "--json"]).ok().json();
        let expected = serde_json::json!({ "v": 1, "queue": "default", "paused": false, "changed": true });
        assert_eq!(resumed, expected);
        let again = project.run(&["queue", "resume", "default"]).ok().text();
        assert_eq!(again, "queue default is already running\n");
        project.run(&ONCE).ok();
        project.run(&["result", &id]).ok();
    });
}

#[test]
fn hostile_words_of_the_queue_are_escaped_everywhere() {
    let project = Project::new();
    project.enqueue();
    let storage = project.storage();
    storage.execute("UPDATE task SET id = ?1, last_error = ?1", [EVIL]).unwrap();
    storage.execute("UPDATE record SET type = ?1", [EVIL]).unwrap();
    drop(storage);

    let mut runs = Vec::new();
    for arguments in [
        ["task", "ls", "--queue", "default"].as_slice(),
        &["task", "ls", "--queue", "default", "--json"],
        &["task", "inspect", EVIL],
        &["task", "inspect", EVIL, "--json"],
        &["worker", "--once"],
        &["quarantine", "ls"],
        &["quarantine", "ls", "--json"],
        &["quarantine", "show", "1"],
        &["quarantine", "show", "1", "--json"],
    ] {
        let run = project.run(arguments);
        let printed = run.ok().text() + &run.err;
        assert!(!printed.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{arguments:?}: {printed:?}");
        runs.push(run);
    }
    assert!(runs[0].text().contains("a\\u{1b}[2J\\u{9b}\\u{202e}b\\n"), "{:?}", runs[0]);
    assert_eq!(runs[1].json()["id"], EVIL);
    assert!(runs[4].err.contains("(metadata-mismatch)"), "{:?}", runs[4]);
}

#[test]
fn bad_line_is_named_and_nothing_behind_the_printed_ids_is_enqueued() {
    let project = Project::new();
    let good = "{\"type\": \"file:digest\", \"queue\": \"default\", \"body\": null}\n";
    for (line, word) in [
        ("{\"type\": \"file:digest\", \"body\": 1, \"boddy\": 2}", "unknown field `boddy`"),
        ("{\"type\": \"file:digest\"}", "one of \"body\" and \"body_base64\""),
        ("{\"type\": \"file:digest\", \"body\": 1, \"body_base64\": \"\"}", "one of"),
        ("{\"type\": \"a b\", \"body\": 1}", "invalid task type"),
        ("{\"body\": 1}", "no \"type\""),
        ("{\"type\": \"t\", \"body_base64\": \"%\"}", "not base64"),
        ("{\"type\": \"t\", \"body\": 1, \"queue\": \"a b\"}", "queue name"),
        ("{\"type\": \"t\", \"body\": 1, \"in\": \"1\"}", "not a duration"),
        ("{\"type\": \"t\", \"body\": 1, \"id\": \"1\"}", "not a UUID"),
        ("{\"type\": \"t\", \"body\": ", "EOF"),
        ("task", "expected"),
    ] {
        fs::write(project.path("tasks.jsonl"), format!("{good}{line}\n{good}")).unwrap();
        let run = project.run(&["enqueue", "--queue", "default", "--jsonl", "tasks.jsonl"]);
        run.failed(2).hinted();
        assert!(run.out.is_empty() && run.err.contains("tasks.jsonl:2:"), "{run:?}");
        assert!(run.err.contains(word), "{run:?}");
    }
    assert_eq!(project.counts()["pending"], 0);

    let lines = format!("{}nonsense\n", good.repeat(199));
    let run = project.run_with(&["enqueue", "--jsonl", "-"], lines.as_bytes());

    run.failed(2).hinted();
    assert!(run.err.contains("-:200:"), "{run:?}");
    assert_eq!(run.text().lines().count(), 128);
    assert_eq!(project.counts()["pending"], 128);
}

#[test]
fn lines_in_utf_16_are_named_and_a_byte_order_mark_is_skipped() {
    let project = Project::new();
    let lines = ["enqueue", "--queue", "default", "--type", "file:digest", "--jsonl", "-"];

    let run = project.run_with(&lines, &[0xff, 0xfe, b'{', 0, b'}', 0]);
    run.failed(2);
    assert!(run.err.contains("-:1: the text is UTF-16"), "{}", run.err);

    let run = project.run_with(&lines, "\u{feff}{\"body\": 1}\r\n{\"body\": 2}\r\n".as_bytes());
    assert_eq!(run.ok().out.lines().count(), 2);
}

#[test]
fn json_lines_are_run_with_the_body_as_it_was_written() {
    let project = Project::new();
    project.handler("printf '%s ' \"$TASKSEAL_CONTENT_TYPE\"; cat");
    let lines = "{\"body\": {\"b\": 1.50, \"a\": 123456789012345678901234567890}}\n\n\
                 {\"body_base64\": \"/wA=\", \"type\": \"file:digest\", \"queue\": \"default\", \"retention\": \"1h\"}\n\
                 {\"body\": 1, \"in\": \"1h\"}\n";
    let options = ["enqueue", "--queue", "default", "--type", "file:digest", "--jsonl", "-", "--json"];
    let run = project.run_with(&options, lines.as_bytes());
    let tasks: Vec<Value> = run.ok().text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(tasks.len(), 3);
    assert_eq!((&tasks[0]["queue"], &tasks[0]["type"]), (&"default".into(), &"file:digest".into()));
    assert_eq!(tasks[0]["digest"].as_str().unwrap().len(), 64);
    project.run(&ONCE).ok();
    let result = |task: &Value| project.run(&["result", task["id"].as_str().unwrap()]);

    assert_eq!(
        result(&tasks[0]).ok().text(),
        "application/json {\"b\": 1.50, \"a\": 123456789012345678901234567890}"
    );
    assert_eq!(result(&tasks[1]).ok().out, b"application/octet-stream \xff\0");
    let later = result(&tasks[2]);
    later.failed(6).hinted();
    assert!(later.err.contains("scheduled, due "), "{later:?}");
}

#[test]
fn sealed_elsewhere_is_forwarded_only_if_a_worker_would_accept_it() {
    let (project, stranger) = (Project::new(), Project::new());
    let own = project.seal(b"Bytes worth sealing.\n");
    let forward = ["enqueue", "--queue", "default", "--sealed", "-"];
    let mut tampered = own.clone();
    *tampered.last_mut().unwrap() ^= 1;
    let elsewhere = project.run_with(&[&SEAL[..1], &["--queue", "other"], &SEAL[3..]].concat(), b"");
    for (bytes, code) in [
        (stranger.seal(b""), "unknown-key"),
        (tampered, "rejected"),
        (b"{}".to_vec(), "unsealed"),
        (elsewhere.ok().out.clone(), "wrong-audience"),
    ] {
        let run = project.run_with(&forward, &bytes);
        run.failed(3).hinted();
        assert!(run.out.is_empty() && run.err.contains(&format!("({code})")), "{run:?}");
    }
    assert_eq!(project.counts()["pending"], 0);

    let id = project.run_with(&forward, &own).ok().text();
    assert!(!project.run_with(&forward, &own).ok().err.contains("does not run again"), "it is still to run");
    project.run(&ONCE).ok();

    assert!(project.run(&["result", id.trim()]).ok().text().contains(&sample_digest()));
    let again = project.run_with(&forward, &own);
    assert!(again.ok().err.contains("completed: it does not run again"), "{}", again.err);
}

#[test]
fn list_goes_on_behind_short_pages_up_to_the_limit() {
    let project = Project::new();
    let body = "x".repeat(200_000);
    let lines = format!("{{\"body\": \"{body}\"}}\n").repeat(150);
    let options = ["enqueue", "--queue", "default", "--type", "file:digest", "--jsonl", "-"];
    project.run_with(&options, lines.as_bytes()).ok();
    let list = |limit: &str| {
        let run = project.run(&["task", "ls", "--queue", "default", "--limit", limit, "--json"]);
        (run.ok().text().lines().count(), run.err.contains("there are more"))
    };

    assert_eq!(list("1000"), (150, false));
    assert_eq!(list("149"), (149, true));
    assert_eq!(list("150"), (150, false));
}
