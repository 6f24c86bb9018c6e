//! From unsealed to sealed tasks: what `taskseal rollout` shows, and that a mode does not become looser unnoticed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;

use serde_json::Value;

use crate::policy::ruled;
use crate::support::project::Project;
use crate::support::queue::{ONCE, store_unsealed};

const OBSERVE: &str = "[[type]]\ntype = \"file:digest\"\nmode = \"observe\"\nuntil = \"2099-12-31\"\n";
const ENFORCE: &str = "[[type]]\ntype = \"file:digest\"\n";

fn status(project: &Project) -> Value {
    project.run(&["rollout", "status", "--json"]).ok().json()
}

fn set(project: &Project, rules: &str) {
    fs::write(project.path("policy.toml"), rules).unwrap();
}

#[test]
fn worker_does_not_start_with_a_looser_mode_before_that_is_allowed() {
    let project = ruled(ENFORCE);
    project.run(&ONCE).ok();
    set(&project, OBSERVE);
    for _ in 0..2 {
        let run = project.run(&ONCE);
        run.failed(1).hinted();
        assert!(run.err.contains("taskseal rollout loosen 'file:digest'"), "{run:?}");
    }
    // `check` finds it before, and allows nothing.
    let checked = project.run(&["check"]).failed(1).text();
    assert!(checked.contains("fail  modes") && checked.contains("taskseal rollout loosen"), "{checked}");
    // Another type, or a pattern that includes this one, allows nothing.
    for other in ["file:other", "file:*"] {
        project.run(&["rollout", "loosen", other]).ok();
        project.run(&ONCE).failed(1);
    }
    project.run(&["rollout", "loosen", "file:digest"]).ok();
    for _ in 0..2 {
        let checked = project.run(&["check"]).ok().text();
        assert!(checked.contains("ok    modes"), "{checked}");
    }
    project.run(&ONCE).ok();
}

#[test]
fn refused_unsealed_task_names_the_command_that_delivers_it_again_and_that_runs_it() {
    let project = ruled(ENFORCE);
    let id = store_unsealed(&project.path("queue/queue.db"), "file:digest");
    project.run(&ONCE).ok();
    assert!(project.run(&["quarantine", "show", "1"]).ok().text().contains("taskseal task run"));
    let released = project.run(&["quarantine", "release", "1"]);
    released.failed(1);
    assert!(released.err.contains(&format!("`taskseal task run --queue default {id}`")), "{released:?}");

    set(&project, OBSERVE);
    project.run(&["rollout", "loosen", "file:digest"]).ok();
    project.run(&["task", "run", "--queue", "default", &id]).ok();
    project.run(&ONCE).ok();
    assert_eq!(status(&project)["unsealed"], 1);
}

#[test]
fn check_before_the_first_worker_creates_no_record_of_modes() {
    let project = ruled(ENFORCE);
    let checked = project.run(&["check"]).text();
    assert!(!checked.contains("modes") && !project.path("state/rollout.db").exists(), "{checked}");
}

#[test]
fn lost_record_of_modes_lets_no_worker_start_with_a_looser_mode() {
    let project = ruled(ENFORCE);
    project.run(&ONCE).ok();
    for file in ["rollout.db", "rollout.db-wal", "rollout.db-shm"] {
        let _ = fs::remove_file(project.path("state").join(file));
    }
    set(&project, OBSERVE);
    assert_eq!(status(&project)["mode"], "enforce");
    assert!(!project.path("state/rollout.db").exists());
    let run = project.run(&ONCE);
    run.failed(1).hinted();
    assert!(run.err.contains("taskseal rollout loosen 'file:digest'"), "{run:?}");
    fs::remove_file(project.path("state/rollout.db")).unwrap();
    fs::write(project.path("state/rollout-modes"), "").unwrap();
    project.run(&ONCE).failed(8).hinted();
}

#[test]
fn commands_that_only_show_modes_create_no_record() {
    let project = ruled(OBSERVE);
    let id = store_unsealed(&project.path("queue/queue.db"), "file:digest");
    assert_eq!(status(&project)["mode"], "observe");
    project.run(&["explain", &id]).ok();
    assert!(!project.path("state/rollout.db").exists());
}

#[test]
fn looser_mode_is_in_the_audit_log() {
    let project = ruled(ENFORCE);
    let file = project.path("taskseal.toml");
    project.run(&["keygen", "audit", "--out", "keys/audit.key"]).ok();
    let configuration = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{configuration}\n[audit]\nkey = \"keys/audit.key\"\n")).unwrap();
    project.run(&["rollout", "loosen", "file:digest"]).ok();
    let log = project.run(&["audit", "show", "--json"]);
    let lines: Vec<Value> = log.ok().text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps = lines.iter().filter(|line| line["event"] == "rollout-loosen");
    let steps: Vec<_> = steps.map(|line| (line["step"].clone(), line["type"].clone())).collect();
    let step = |step: &str| (step.into(), "file:digest".into());
    assert_eq!(steps, [step("requested"), step("done")]);
}

#[test]
fn handled_type_that_had_no_rule_is_not_loosened_by_one() {
    let project = ruled("default = \"allow\"\n");
    project.run(&ONCE).ok();
    set(&project, OBSERVE);
    project.run(&ONCE).failed(1).hinted();
}

#[test]
fn enforcing_is_not_safe_while_tasks_are_unsealed_or_refused() {
    let project = ruled(OBSERVE);
    let why = |project: &Project| {
        let status = status(project);
        assert_eq!(status["safe_to_enforce"], false, "{status}");
        status["why"].as_str().unwrap().to_owned()
    };
    project.run(&ONCE).ok();
    assert_eq!(why(&project), "no sealed task was accepted");
    let id = store_unsealed(&project.path("queue/queue.db"), "file:digest");
    project.enqueue();
    let run = project.run(&ONCE);
    assert!(run.err.contains(&format!("{id} from queue default is not sealed")), "{run:?}");
    assert!(why(&project).starts_with("unsealed in queue default at "));
    let found = status(&project);
    let queue = &found["queues"][0];
    assert_eq!((&queue["sealed"], &queue["unsealed"]), (&1.into(), &1.into()));
    assert_eq!((&queue["last_unsealed_id"], &found["share_sealed_percent"]), (&id.into(), &50.0.into()));
}

#[test]
fn envelopes_that_no_signature_proves_do_not_keep_enforcing_unsafe() {
    let project = ruled(OBSERVE);
    project.enqueue();
    project.enqueue();
    let storage = project.storage();
    let last = "SELECT seq, envelope FROM record ORDER BY seq DESC";
    let (seq, mut envelope): (i64, Vec<u8>) =
        storage.query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    *envelope.last_mut().unwrap() ^= 1;
    storage.execute("UPDATE record SET envelope = ?1 WHERE seq = ?2", (envelope, seq)).unwrap();
    drop(storage);
    project.run(&ONCE).ok();
    let found = status(&project);
    assert_eq!(found["refused"][0]["code"], "rejected", "{found}");
    assert_eq!((&found["safe_to_enforce"], &found["sealed"]), (&true.into(), &1.into()), "{found}");
    assert!(found["why"].as_str().unwrap().ends_with("in every mode refused: 1 rejected"), "{found}");
}

#[test]
fn enforcing_is_safe_once_all_recent_tasks_are_sealed() {
    let project = ruled(OBSERVE);
    project.enqueue();
    project.run(&ONCE).ok();
    let found = status(&project);
    assert_eq!((&found["safe_to_enforce"], &found["sealed"]), (&true.into(), &1.into()), "{found}");
    set(&project, ENFORCE);
    store_unsealed(&project.path("queue/queue.db"), "file:digest");
    project.run(&ONCE).ok();
    let found = status(&project);
    assert_eq!((&found["mode"], &found["refused"][0]["code"]), (&"enforce".into(), &"unsealed".into()));
    let shown = project.run(&["rollout", "status"]);
    assert!(shown.ok().text().contains("1 (100.0 %)"), "{shown:?}");
}

#[test]
fn rollout_without_a_policy_file_is_refused() {
    let project = Project::new();
    for arguments in [&["rollout", "status"][..], &["rollout", "loosen", "file:digest"]] {
        project.run(arguments).failed(2).hinted();
    }
    ruled(OBSERVE).run(&["rollout", "loosen", "a b"]).failed(2).hinted();
}
