//! Signed tasks with a clear body on the command line: `enqueue --detached`, and what the commands of operators show of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64ct::{Base64UrlUnpadded, Encoding};
use redis::cmd;
use serde_json::Value;
use taskseal::broker::redis::asynq::{DETACHED_HEADER, Message};
use taskseal_core::{Refusal, Unverified};
use taskseal_tests::redis::RedisServer;

use crate::support::program::Run;
use crate::support::project::{Project, SEAL};
use crate::support::queue::{ENQUEUE, ONCE};

const OBSERVE: &str = "mode = \"observe\"";
const ACCEPTED: &str = "detached = true";

fn ruled(server: &RedisServer, rule: &str) -> Project {
    let project = Project::on_redis(server);
    project.edit("taskseal.toml", "[policy]\n", "[policy]\nfile = \"policy.toml\"\n");
    set(&project, rule);
    project
}

fn set(project: &Project, rule: &str) {
    fs::write(project.path("policy.toml"), format!("[[type]]\ntype = \"file:digest\"\n{rule}\n")).unwrap();
}

fn enqueue(project: &Project, more: &[&str]) -> Run {
    project.run(&[&ENQUEUE[..], &["--detached"], more].concat())
}

fn id(run: &Run) -> String {
    run.ok().text().trim().to_owned()
}

/// Changes the stored message, as a process can that may write to the queue.
fn change(server: &RedisServer, id: &str, change: impl FnOnce(&mut Message)) {
    let (key, mut redis) = (format!("asynq:{{default}}:t:{id}"), server.raw());
    let stored: Vec<u8> = cmd("HGET").arg(&key).arg("msg").query(&mut redis).unwrap();
    let mut message = Message::decode(&stored).unwrap();
    change(&mut message);
    cmd("HSET").arg(&key).arg("msg").arg(message.encode()).exec(&mut redis).unwrap();
}

fn explain(project: &Project, id: &str) -> Value {
    serde_json::from_slice(&project.run(&["explain", id, "--json"]).out).unwrap()
}

#[test]
fn clear_body_is_not_enqueued_where_workers_refuse_it_or_no_redis_stores_it() {
    let embedded = Project::new();
    let run = enqueue(&embedded, &["--force"]);
    run.failed(5).hinted();
    assert!(run.err.contains("a queue file stores no detached envelopes"), "{run:?}");
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = ruled(&server, "");
    let run = enqueue(&project, &[]);
    run.failed(3).hinted();
    assert!(run.err.contains("suite-not-allowed") && run.err.contains("`detached = true`"), "{run:?}");
    let id = id(&enqueue(&project, &["--force"]));
    let found = explain(&project, &id);
    assert_eq!(
        (&found["accepted"], &found["refused"]),
        (&false.into(), &"suite-not-allowed".into()),
        "{found}"
    );
    let run = project.run(&ONCE);
    assert!(run.err.contains("suite-not-allowed") && run.err.contains("detached = true"), "{run:?}");
}

#[test]
fn changed_body_is_shown_as_refused_and_runs_where_unsealed_tasks_do() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = ruled(&server, OBSERVE);
    let changed = id(&enqueue(&project, &[]));
    change(&server, &changed, |message| message.payload = "{}".into());
    let found = explain(&project, &changed);
    let checks = found["checks"].as_array().unwrap();
    let verdict = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap()["verdict"].clone();
    assert_eq!((verdict("signature"), verdict("mode")), ("rejected".into(), "ok".into()), "{found}");
    assert_eq!((&found["accepted"], &found["unsealed"]), (&true.into(), &true.into()), "{found}");
    let shown = project.run(&["explain", &changed]);
    let note =
        "would run it as an unsealed task, because its seal is refused by the check signature (rejected)";
    assert!(shown.ok().err.contains(note), "{shown:?}");
    let run = project.run(&ONCE);
    run.ok();
    assert!(
        run.err.contains(&format!("the detached envelope of {changed} from queue default is refused")),
        "{run:?}"
    );
    let status = project.run(&["rollout", "status", "--json"]).ok().json();
    assert_eq!((&status["detached"], &status["unsealed"]), (&0.into(), &1.into()), "{status}");
    assert_eq!(status["refused"][0]["code"], "rejected", "{status}");
    set(&project, ACCEPTED);
    let changed = id(&enqueue(&project, &[]));
    change(&server, &changed, |message| message.payload = "{}".into());
    assert_eq!(explain(&project, &changed)["refused"], "rejected");
    let run = project.run(&ONCE);
    assert!(run.err.contains("(rejected)"), "{run:?}");
}

#[test]
fn clear_body_is_run_counted_and_shown() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = ruled(&server, OBSERVE);
    let id = id(&enqueue(&project, &[]));
    change(&server, &id, |message| {
        assert_eq!(*message.payload, *fs::read(project.path("sample.txt")).unwrap());
        assert!(message.headers.contains_key(DETACHED_HEADER));
    });
    let inspected = project.run(&["task", "inspect", &id, "--json"]).ok().json();
    assert_eq!(inspected["envelope"]["detached"], true, "{inspected}");
    assert_eq!(explain(&project, &id)["accepted"], true);
    project.run(&ONCE).ok();
    let status = |project: &Project| project.run(&["rollout", "status", "--json"]).ok().json();
    let found = status(&project);
    let counts = ["sealed", "detached", "unsealed"].map(|form| found[form].clone());
    assert_eq!(counts, [0, 1, 0].map(Value::from), "{found}");
    assert!(found["why"].as_str().unwrap().starts_with("body in clear in queue default at "), "{found}");
    set(&project, "mode = \"observe\"\ndetached = true");
    assert_eq!(status(&project)["safe_to_enforce"], true);
    let checked = project.run(&["policy", "check"]);
    assert!(
        checked.ok().text().contains("detached") && checked.err.contains("may be in clear"),
        "{checked:?}"
    );
}

#[test]
fn result_of_a_clear_body_is_read_for_its_own_envelope_only() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = ruled(&server, ACCEPTED);
    let id = id(&enqueue(&project, &[]));
    project.run(&ONCE).ok();
    let run = project.run(&["result", &id]);
    assert!(run.ok().err.contains(&format!("verified: result of {id}")), "{run:?}");
    change(&server, &id, |message| message.payload = "{}".into());
    let run = project.run(&["result", &id]);
    run.failed(3);
    assert!(run.err.contains("(rejected)"), "{run:?}");
    change(&server, &id, |message| message.headers.clear());
    let run = project.run(&["result", &id]);
    run.failed(3);
    assert!(run.err.contains("(unsealed)"), "{run:?}");
}

#[test]
fn lines_of_json_may_all_have_a_clear_body() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = ruled(&server, ACCEPTED);
    let lines = b"{\"queue\":\"default\",\"type\":\"file:digest\",\"body\":1}\n";
    let run = project.run_with(&["enqueue", "--jsonl", "-", "--detached"], &lines.repeat(2));
    for id in run.ok().text().lines() {
        change(&server, id, |message| assert_eq!(&*message.payload, b"1"));
    }
    let run = project.run(&ONCE);
    run.ok();
    assert!(!run.err.contains("refused"), "{run:?}");
}

#[test]
fn envelope_of_seal_is_that_of_a_message_of_asynq_and_verifies_for_its_payload_only() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = ruled(&server, ACCEPTED);
    let id = taskseal_tests::fleet::new_id().to_string();
    let envelope =
        project.run_with(&[&SEAL[..], &["--detached", "--id", &id]].concat(), b"{}").ok().out.clone();
    let refused = Unverified::parse(&envelope).unwrap_err();
    assert_eq!(refused.refusal(), Some(Refusal::Malformed));
    assert!(Unverified::parse_detached(&envelope, b"{}").unwrap().is_detached());
    // As a client of asynq stores it.
    let header = (DETACHED_HEADER.to_owned(), Base64UrlUnpadded::encode_string(&envelope));
    let (task_type, queue) = ("file:digest".to_owned(), "default".to_owned());
    let (payload, headers) = ("{}".into(), [header].into());
    let message = Message { task_type, payload, id: id.clone(), queue, headers, ..Message::default() };
    let mut redis = server.raw();
    let key = format!("asynq:{{default}}:t:{id}");
    let stored =
        cmd("HSET").arg(&key).arg("msg").arg(message.encode()).arg(&["state", "pending"]).exec(&mut redis);
    stored.unwrap();
    cmd("SADD").arg("asynq:queues").arg("default").exec(&mut redis).unwrap();
    cmd("LPUSH").arg("asynq:{default}:pending").arg(&id).exec(&mut redis).unwrap();
    let run = project.run(&ONCE);
    run.ok();
    assert!(run.err.contains("done: 1 succeeded"), "{run:?}");
}

/// Builds the worker of asynq; `None` without Go or its modules.
fn asynq_worker(folder: &Path) -> Option<PathBuf> {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("SKIPPED: go is missing");
        return None;
    }
    fs::write(folder.join("main.go"), include_str!("support/asynq_worker.go")).unwrap();
    let caches = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let script =
        "go mod init example.com/worker && go get github.com/hibiken/asynq@v0.25.1 && go build -o worker .";
    let built = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .env("GOCACHE", caches.join("cache"))
        .env("GOMODCACHE", caches.join("modules"))
        .env("GOFLAGS", "-modcacherw")
        .env("GOTOOLCHAIN", "local")
        .output()
        .unwrap();
    if !built.status.success() {
        eprintln!(
            "SKIPPED: the modules of Go cannot be downloaded: {}",
            String::from_utf8_lossy(&built.stderr)
        );
        return None;
    }
    Some(folder.join("worker"))
}

#[test]
fn worker_of_asynq_runs_a_task_with_a_clear_body_and_removes_its_header_when_an_attempt_fails() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(worker) = asynq_worker(folder.path()) else { return };
    let project = ruled(&server, OBSERVE);
    let body = fs::read_to_string(project.path("sample.txt")).unwrap();
    let run = |fail: Option<&str>| {
        let mut worker = Command::new(&worker);
        let url = server.url();
        worker.env("REDIS_ADDR", url.trim_start_matches("redis://").trim_end_matches("/0"));
        worker.envs(fail.map(|fail| ("FAIL", fail)));
        let output = worker.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = format!("file:digest {body}");
    enqueue(&project, &[]).ok();
    assert_eq!(run(None), expected);
    let failed = id(&enqueue(&project, &[]));
    assert_eq!(run(Some("1")), expected);
    change(&server, &failed, |message| {
        assert!(message.retried == 1 && message.headers.is_empty(), "{message:?}");
    });
}
