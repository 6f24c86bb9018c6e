//! `taskseal explain`: the checks of a worker, one by one, with the verdict that the worker has.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;

use serde_json::Value;

use crate::policy::ruled;
use crate::support::program::Run;
use crate::support::project::Project;
use crate::support::queue::{ENQUEUE, ONCE, store_unsealed};

/// The object that `explain --json` prints.
fn object(run: &Run) -> Value {
    serde_json::from_slice(&run.out).unwrap()
}

/// Checks that the task is refused by this check with this code, and that the checks before it accept.
fn is_refused(project: &Project, task: &str, check: &str, code: &str) {
    let run = project.run(&["explain", task, "--json"]);
    run.failed(3);
    let found = object(&run);
    assert_eq!((&found["accepted"], &found["refused"]), (&false.into(), &code.into()), "{found}");
    let checks = found["checks"].as_array().unwrap();
    let first = checks.iter().find(|one| one["verdict"] != "ok" && one["verdict"] != "unknown").unwrap();
    assert_eq!((&first["check"], &first["verdict"]), (&check.into(), &code.into()), "{found}");
    assert!(!first["found"].as_str().unwrap().is_empty() && !first["required"].as_str().unwrap().is_empty());
    let shown = project.run(&["explain", task]);
    shown.failed(3).hinted();
    assert!(shown.err.contains(&format!("refused by the check {check}")), "{shown:?}");
}

#[test]
fn envelope_file_is_refused_by_the_check_that_it_fails() {
    let project = ruled("[[type]]\ntype = \"file:digest\"\n");
    let good = project.seal(b"body");
    fs::write(project.path("good.cose"), &good).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(project.path("flipped.cose"), flipped).unwrap();
    fs::write(project.path("cut.cose"), &good[..good.len() / 2]).unwrap();
    fs::write(project.path("plain.json"), "{}").unwrap();
    is_refused(&project, "flipped.cose", "signature", "rejected");
    is_refused(&project, "cut.cose", "form", "malformed");
    is_refused(&project, "plain.json", "form", "unsealed");
    for (field, check, code) in [
        ("suites = [\"S\"]", "suite", "suite-not-allowed"),
        ("max_body = \"1B\"", "size", "too-large"),
        ("max_lifetime = \"1h\"", "lifetime", "lifetime-too-long"),
        ("kids = [\"0011223344556677\"]", "rule", "type-not-allowed"),
        ("issuers = [\"other\"]", "rule", "issuer-not-allowed"),
    ] {
        fs::write(project.path("policy.toml"), format!("[[type]]\ntype = \"file:digest\"\n{field}\n"))
            .unwrap();
        is_refused(&project, "good.cose", check, code);
    }
    fs::write(project.path("policy.toml"), "").unwrap();
    is_refused(&project, "good.cose", "rule", "type-not-allowed");
    let elsewhere = project.run(&["explain", "good.cose", "--queue", "other", "--json"]);
    assert_eq!(object(&elsewhere)["refused"], "wrong-audience");
}

#[test]
fn refused_entry_and_worker_have_the_same_code() {
    let project = Project::new();
    project.run(&[&ENQUEUE[..], &["--lifetime", "48h", "--force"]].concat()).ok();
    project.run(&ONCE).ok();
    let entry = project.run(&["quarantine", "ls", "--json"]).ok().json();
    assert_eq!(entry["code"], "lifetime-too-long");
    is_refused(&project, "1", "lifetime", "lifetime-too-long");
    project.edit("taskseal.toml", "max_lifetime = \"24h\"", "max_lifetime = \"72h\"");
    let run = project.run(&["explain", "1"]);
    run.ok();
    assert!(run.err.contains("taskseal quarantine release 1"), "{run:?}");
}

#[test]
fn task_that_has_run_is_shown_with_the_time_and_a_copy_of_it_is_refused_by_the_ledger() {
    let project = Project::new();
    fs::write(project.path("copy.cose"), project.seal(b"body")).unwrap();
    let run = project.run(&["enqueue", "--queue", "default", "--sealed", "copy.cose"]);
    let id = run.ok().text().trim().to_owned();
    let before = project.run(&["explain", &id, "--json"]);
    let found = object(before.ok());
    let verdicts = found["checks"].as_array().unwrap().iter().map(|check| check["verdict"].clone());
    assert!(verdicts.into_iter().all(|verdict| verdict == "ok"), "{found}");
    project.run(&ONCE).ok();
    let run = project.run(&["explain", &id, "--json"]);
    let found = object(run.ok());
    assert_eq!((&found["has_run"], &found["accepted"]), (&true.into(), &false.into()), "{found}");
    assert!(found["refused"].is_null() && found["ran_at"].as_str().unwrap().starts_with("20"), "{found}");
    let shown = project.run(&["explain", &id]);
    assert!(shown.ok().err.contains("it ran and succeeded at 20"), "{shown:?}");
    is_refused(&project, "copy.cose", "ledger", "replayed");
}

#[test]
fn unsealed_task_is_explained_by_the_mode_of_its_type() {
    let project = ruled("[[type]]\ntype = \"file:digest\"\n");
    let id = store_unsealed(&project.path("queue/queue.db"), "file:digest");
    is_refused(&project, &id, "mode", "unsealed");
    fs::write(project.path("policy.toml"), "[[type]]\ntype = \"file:digest\"\nmode = \"observe\"\n").unwrap();
    let run = project.run(&["explain", &id]);
    assert!(run.ok().err.contains("would run it as an unsealed task: it is pending"), "{run:?}");
}

#[test]
fn unsealed_entry_of_the_quarantine_is_explained_by_the_mode_of_its_type() {
    let project = ruled("[[type]]\ntype = \"file:digest\"\n");
    store_unsealed(&project.path("queue/queue.db"), "file:digest");
    project.run(&ONCE).ok();
    is_refused(&project, "1", "mode", "unsealed");
    fs::write(project.path("policy.toml"), "[[type]]\ntype = \"file:digest\"\nmode = \"observe\"\n").unwrap();
    let run = project.run(&["explain", "1", "--json"]);
    assert_eq!(object(&run)["checks"][0]["check"], "mode", "{run:?}");
}

#[test]
fn task_of_an_issuer_with_a_quota_is_not_said_to_run_for_certain() {
    let project =
        ruled("[[type]]\ntype = \"file:digest\"\n\n[[issuer]]\nissuer = \"*\"\ntasks_per_minute = 3\n");
    fs::write(project.path("good.cose"), project.seal(b"body")).unwrap();
    let run = project.run(&["explain", "good.cose"]);
    assert!(run.ok().err.contains(", or put it off while the quota of its issuer is used up: "), "{run:?}");
}

#[test]
fn handler_is_required_of_a_host_without_one() {
    let project = ruled("[[type]]\ntype = \"file:digest\"\n");
    fs::write(project.path("good.cose"), project.seal(b"body")).unwrap();
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let (without, _) = text.split_once("[[handler]]").unwrap();
    fs::write(project.path("taskseal.toml"), without).unwrap();
    let run = project.run(&["explain", "good.cose", "--json"]);
    let found = object(run.failed(3));
    let handler = found["checks"].as_array().unwrap().iter().find(|one| one["check"] == "handler").unwrap();
    assert_eq!(handler["required"], "a [[handler]] of this host", "{found}");
}

#[test]
fn task_that_does_not_exist_is_not_found() {
    let project = Project::new();
    for task in ["17", "no-such-id"] {
        project.run(&["explain", task]).failed(4).hinted();
    }
}
