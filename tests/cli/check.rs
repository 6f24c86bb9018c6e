//! `taskseal check`: each fault of a host is found before its service starts, and nothing is changed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod keyset;
mod settings;
mod tokens;

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use redis::cmd;
use serde_json::Value;
use taskseal_tests::redis::RedisServer;

use crate::support::keygen::keygen;
use crate::support::program::Run;
use crate::support::project::Project;
use crate::support::queue::ONCE;

const CHECK: [&str; 2] = ["check", "--json"];

/// Returns the findings of one check.
fn findings(run: &Run, check: &str) -> Vec<Value> {
    let report = run.json();
    let all = report["checks"].as_array().unwrap().clone();
    all.into_iter().filter(|finding| finding["check"] == check).collect()
}

/// Checks that one check has this verdict, that its message contains `text`, and that it says what to do.
#[track_caller]
fn assert_found(run: &Run, check: &str, verdict: &str, text: &str) {
    let found = findings(run, check);
    let matches = |finding: &&Value| {
        finding["verdict"] == verdict && finding["message"].as_str().unwrap().contains(text)
    };
    let finding = found.iter().find(matches).unwrap_or_else(|| panic!("{check} {verdict} {text}: {run:?}"));
    let has_hint = finding.get("hint").is_some_and(|hint| hint.is_string());
    assert!(has_hint || verdict != "fail", "no hint: {finding}");
}

/// Runs the check, which must fail with this exit code because of `check`.
#[track_caller]
fn assert_fails(project: &Project, code: i32, check: &str, text: &str) {
    let run = project.run(&CHECK);
    run.failed(code).hinted();
    assert_found(&run, check, "fail", text);
}

/// A project whose worker has run one task, so that all its files exist.
fn used() -> Project {
    let project = Project::new();
    project.enqueue();
    project.run(&ONCE).ok();
    project
}

fn on_redis(project: &Project, url: &str) {
    project.edit(
        "taskseal.toml",
        "# url = \"rediss://taskseal@redis.example:6380/0\"",
        &format!("url = \"{url}\""),
    );
}

/// Replaces the content of the entry in the keyset whose `use` and `alg` are these.
fn edit_entry(project: &Project, words: [&str; 2], from: &str, to: &str) {
    let text = fs::read_to_string(project.path("keyset.toml")).unwrap();
    let mut changed = 0;
    let entries = text.split("[[key]]").map(|entry| {
        if words.iter().all(|word| entry.contains(word)) {
            assert!(entry.contains(from), "{entry}");
            changed += 1;
            return entry.replace(from, to);
        }
        entry.to_owned()
    });
    let entries: Vec<String> = entries.collect();
    assert_eq!(changed, 1, "{text}");
    fs::write(project.path("keyset.toml"), entries.join("[[key]]")).unwrap();
}

/// Returns the names of all files and folders below a folder.
fn names(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(names(&path));
        }
        found.insert(path);
    }
    found
}

#[test]
fn configuration_that_is_missing_or_wrong_is_found() {
    let project = Project::new();
    fs::rename(project.path("taskseal.toml"), project.path("other.toml")).unwrap();
    let run = project.run(&CHECK);
    run.failed(2);
    assert_eq!(findings(&run, "configuration")[0]["verdict"], "fail", "{run:?}");

    fs::write(project.path("taskseal.toml"), "[worker]\nconcurency = 2\n").unwrap();
    let run = project.run(&CHECK);
    run.failed(2);
    assert!(
        findings(&run, "configuration")[0]["message"].as_str().unwrap().contains("concurency"),
        "{run:?}"
    );
}

#[test]
fn keyset_that_is_damaged_is_found() {
    let project = Project::new();
    edit_entry(&project, ["ES256", "\"task\""], "kid = \"", "kid = \"zz");
    let run = project.run(&CHECK);
    run.failed(2);
    assert_eq!(findings(&run, "keyset")[0]["verdict"], "fail", "{run:?}");
    assert_found(&run, "task-key", "skip", "the keyset cannot be used");
}

#[test]
fn secret_key_that_others_can_read_or_that_is_missing_is_found() {
    let project = Project::new();
    fs::set_permissions(project.path("keys/worker.key"), Permissions::from_mode(0o644)).unwrap();
    assert_fails(&project, 1, "decryption-key", "worker.decryption_keys");
    fs::set_permissions(project.path("keys/worker.key"), Permissions::from_mode(0o600)).unwrap();
    project.run(&CHECK).ok();
    fs::remove_file(project.path("keys/reader.key")).unwrap();
    let run = project.run(&CHECK);
    run.failed(5);
    assert_found(&run, "decryption-key", "ok", "worker.decryption_keys");
    let missing = findings(&run, "decryption-key").into_iter().find(|found| found["verdict"] == "fail");
    assert!(missing.unwrap()["message"].as_str().unwrap().contains("client.result_key"), "{run:?}");
}

#[test]
fn decryption_key_that_the_keyset_revokes_is_found() {
    let project = Project::new();
    edit_entry(
        &project,
        ["ECDH-ES", "\"task\""],
        "use = \"task\"",
        "use = \"task\"\nstate = \"compromised\"",
    );
    assert_fails(&project, 1, "decryption-key", "compromised");
}

#[test]
fn task_key_without_the_rights_to_seal_what_its_host_seals_is_found() {
    for (from, to, code) in [
        ("types = [\"*\"]", "types = [\"mail:*\"]", "type-not-allowed"),
        ("issuers = [\"producer\"]", "issuers = [\"other\"]", "issuer-not-allowed"),
    ] {
        let project = Project::new();
        edit_entry(&project, ["ES256", "\"task\""], from, to);
        assert_fails(&project, 3, "task-key", code);
    }
}

#[test]
fn tasks_and_results_without_a_recipient_are_found() {
    for (r#use, check, missing) in [
        ("task", "task-key", "no recipient now for tasks by issuer producer of type file:digest"),
        ("result", "result-key", "no recipient now for results of requests by issuer producer"),
    ] {
        let project = Project::new();
        let quoted = format!("\"{use}\"");
        edit_entry(&project, ["ECDH-ES", &quoted], "audiences = [\"local/*\"]", "audiences = [\"other/*\"]");
        assert_fails(&project, 3, check, missing);
    }
}

#[test]
fn results_of_some_issuer_without_a_recipient_are_a_warning() {
    let project = Project::new();
    project.run(&keygen("S", &["--out", "shop.key", "--issuer", "shop", "--append", "keyset.toml"])).ok();
    let run = project.run(&CHECK);
    run.ok();
    assert_found(&run, "result-key", "warn", "requests by issuer shop");
}

#[test]
fn recipient_that_the_configuration_names_wrongly_is_found_at_its_line() {
    let project = Project::new();
    project.edit("taskseal.toml", "suite = \"SP\"", "suite = \"SP\"\nrecipient = \"0011223344556677\"");
    assert_fails(
        &project,
        1,
        "task-key",
        "taskseal.toml:14:13: client.recipient: key 0011223344556677 is not in keyset.toml",
    );
}

#[test]
fn task_key_whose_public_key_is_not_in_the_keyset_is_found() {
    let project = Project::new();
    fs::remove_file(project.path("keys/producer.key")).unwrap();
    project.run(&keygen("S", &["--out", "keys/producer.key"])).ok();
    assert_fails(&project, 1, "task-key", "is not in keyset.toml");
}

#[test]
fn result_key_without_the_rights_to_seal_results_is_found() {
    let project = Project::new();
    edit_entry(&project, ["ES256", "\"result\""], "issuers = [\"worker\"]", "issuers = [\"other\"]");
    assert_fails(&project, 3, "result-key", "issuer-not-allowed");
}

#[test]
fn program_that_cannot_be_started_is_found_and_not_run() {
    let project = Project::new();
    fs::set_permissions(project.path("handlers/digest"), Permissions::from_mode(0o644)).unwrap();
    assert_fails(&project, 1, "program", "file:digest");
    fs::write(project.path("handlers/digest"), "#!/missing/python3\n").unwrap();
    fs::set_permissions(project.path("handlers/digest"), Permissions::from_mode(0o755)).unwrap();
    assert_fails(&project, 1, "program", "its interpreter /missing/python3");
    fs::remove_file(project.path("handlers/digest")).unwrap();
    assert_fails(&project, 1, "program", "No such file");

    project.handler("touch ran");
    project.run(&CHECK).ok();
    assert!(!project.path("ran").exists());
}

#[test]
fn queue_file_of_another_format_or_open_to_all_users_is_found() {
    let project = used();
    let file = project.path("queue/queue.db");
    fs::rename(&file, project.path("away")).unwrap();
    assert_fails(&project, 5, "broker", "queue.db");
    fs::rename(project.path("away"), &file).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o606)).unwrap();
    assert_fails(&project, 1, "broker", "accessible to other users");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "").unwrap();
    assert_fails(&project, 1, "broker", "is empty");
    fs::write(&file, "not a database, and longer than the header of one").unwrap();
    assert_fails(&project, 5, "broker", "not a taskseal queue database");
}

#[test]
fn redis_that_does_not_answer_or_must_not_be_written_is_found() {
    let Some(mut server) = RedisServer::start_or_skip() else { return };
    let project = Project::new();
    let url = server.url();
    on_redis(&project, &url.replace("redis://", "redis://reader@"));
    project.edit("taskseal.toml", "[broker]", "[broker]\npassword_file = \"password\"");
    fs::write(project.path("password"), "secret").unwrap();
    fs::set_permissions(project.path("password"), Permissions::from_mode(0o600)).unwrap();
    let rule = ["reader", "on", ">secret", "~asynq:*", "+@read", "+ping", "+hello", "+eval", "+evalsha"];
    cmd("ACL").arg("SETUSER").arg(&rule).exec(&mut server.raw()).unwrap();
    let run = project.run(&CHECK);
    run.failed(5);
    assert!(findings(&run, "broker")[0]["hint"].as_str().unwrap().contains("rights"), "{run:?}");

    fs::set_permissions(project.path("password"), Permissions::from_mode(0o644)).unwrap();
    assert_fails(&project, 1, "broker", "password");
    fs::set_permissions(project.path("password"), Permissions::from_mode(0o600)).unwrap();
    server.kill();
    assert_fails(&project, 5, "broker", "unavailable");
}

#[test]
fn redis_that_deletes_tasks_or_does_not_say_whether_is_found() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = Project::new();
    on_redis(&project, &server.url());
    cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("allkeys-lru").exec(&mut server.raw()).unwrap();
    let run = project.run(&CHECK);
    assert_found(run.ok(), "eviction", "warn", "allkeys-lru");

    cmd("ACL").arg("SETUSER").arg(&["default", "-info"]).exec(&mut server.raw()).unwrap();
    let run = project.run(&CHECK);
    assert_found(run.ok(), "eviction", "skip", "+info");
}

#[test]
fn state_folder_that_others_can_write_to_is_found() {
    let project = used();
    fs::set_permissions(project.path("state"), Permissions::from_mode(0o770)).unwrap();
    assert_fails(&project, 1, "state", "can be written by group or others");
}

#[test]
fn ledger_that_is_missing_is_found_and_not_created() {
    let project = used();
    fs::remove_file(project.path("state/ledger.db")).unwrap();
    let run = project.run(&CHECK);
    run.failed(8);
    assert!(findings(&run, "ledger")[0]["hint"].as_str().unwrap().contains("ledger init"), "{run:?}");
    assert!(!project.path("state/ledger.db").exists());
    fs::remove_dir_all(project.path("state")).unwrap();
    assert_fails(&project, 8, "ledger", "ledger.db");
}

#[test]
fn ledger_and_quarantine_that_cannot_be_opened_are_found() {
    for (check, name) in [("ledger", "state/ledger.db"), ("quarantine", "state/quarantine.db")] {
        let project = used();
        let file = project.path(name);
        let content = fs::read(&file).unwrap();
        fs::write(&file, "not a database, and longer than the header of one").unwrap();
        assert_fails(&project, 1, check, "not a taskseal");
        fs::write(&file, "").unwrap();
        assert_fails(&project, 1, check, "is empty");
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert_fails(&project, 1, check, "accessible to other users");
    }
}

#[test]
fn clock_that_is_behind_the_files_of_the_host_is_found() {
    let project = Project::new();
    let file = File::options().append(true).open(project.path("taskseal.toml")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    let run = project.run(&CHECK);
    assert_found(run.ok(), "clock", "warn", "taskseal.toml");
}

#[test]
fn check_before_the_first_start_makes_no_files() {
    let project = Project::new();
    let before = names(project.dir.path());
    let run = project.run(&CHECK);
    assert_found(run.ok(), "quarantine", "skip", "does not exist");
    assert_eq!(names(project.dir.path()), before);
}

#[test]
fn host_in_order_passes_and_stays_as_it_was() {
    let project = used();
    let before = names(project.dir.path());
    let run = project.run(&CHECK);
    let checks = run.ok().json()["checks"].as_array().unwrap().clone();
    assert!(checks.iter().all(|finding| finding["verdict"] == "ok"), "{run:?}");
    assert_eq!(names(project.dir.path()), before);
    let text = project.run(&["check"]).ok().text();
    assert_eq!(text.lines().count(), checks.len(), "{text}");
    assert!(text.lines().all(|line| line.starts_with("ok    ")), "{text}");
}

#[test]
fn host_on_redis_in_order_passes_and_no_key_is_left_in_redis() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = Project::new();
    on_redis(&project, &server.url());
    let run = project.run(&CHECK);
    assert_found(run.ok(), "broker", "ok", "can be written");
    assert_found(&run, "eviction", "ok", "");
    assert_eq!(cmd("DBSIZE").query::<u64>(&mut server.raw()).unwrap(), 0);
}

#[test]
fn host_that_only_seals_is_checked_for_the_queues_of_its_key() {
    let project = Project::new();
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let end = text.find("[worker]").unwrap();
    fs::write(project.path("taskseal.toml"), &text[..end]).unwrap();
    let keyset = fs::read_to_string(project.path("keyset.toml")).unwrap();
    for (audience, verdict) in [("other/billing", "fail"), ("local/billing", "ok"), ("*", "ok")] {
        let narrow = keyset.replacen("local/*", audience, 1);
        fs::write(project.path("keyset.toml"), narrow).unwrap();
        assert_found(&project.run(&CHECK), "task-key", verdict, "");
    }
}

/// A host that only seals, whose key may seal every type for every queue of the deployment, with this policy file.
fn sealing_only(rules: &str) -> Project {
    let project = Project::new();
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let text = text.replace("[policy]\n", "[policy]\nfile = \"policy.toml\"\n");
    let (before, worker) = text.split_once("[worker]").unwrap();
    // The sections after it that are not the worker's.
    let policy = worker.split_once("[policy]").map_or("", |(_, policy)| policy.split("[[").next().unwrap());
    let policy = if policy.is_empty() { String::new() } else { format!("[policy]{policy}") };
    fs::write(project.path("taskseal.toml"), format!("{before}{policy}")).unwrap();
    fs::write(project.path("policy.toml"), rules).unwrap();
    project
}

#[test]
fn host_that_only_seals_types_that_no_rule_accepts_is_found() {
    let project = sealing_only("[[type]]\ntype = \"mail:send\"\n");
    edit_entry(&project, ["ES256", "\"task\""], "types = [\"*\"]", "types = [\"file:*\"]");
    assert_fails(&project, 3, "task-key", "no rule for type file:check");
    fs::write(project.path("policy.toml"), "[[type]]\ntype = \"file:digest\"\nissuers = [\"other\"]\n")
        .unwrap();
    assert_fails(&project, 3, "task-key", "a task of type file:digest");
}

#[test]
fn host_that_only_seals_is_checked_for_the_types_and_queues_of_the_rules_that_its_key_covers() {
    let rule = "[[type]]\ntype = \"file:digest\"\nqueues = [\"default\"]\n";
    let project = sealing_only(rule);
    edit_entry(&project, ["ES256", "\"task\""], "types = [\"*\"]", "types = [\"file:*\"]");
    assert_found(project.run(&CHECK).ok(), "task-key", "ok", "its tasks of type file:digest are accepted");
    // Types of other producers are not a fault of this one.
    let others = format!("{rule}[[type]]\ntype = \"file:erase\"\nissuers = [\"other\"]\n");
    fs::write(project.path("policy.toml"), others).unwrap();
    assert_found(project.run(&CHECK).ok(), "task-key", "ok", "its tasks of type file:digest are accepted");
}

#[test]
fn host_that_only_seals_needs_no_state_and_no_programs() {
    let project = Project::new();
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let end = text.find("[worker]").unwrap();
    fs::write(project.path("taskseal.toml"), &text[..end]).unwrap();
    let run = project.run(&CHECK);
    run.ok();
    for check in ["program", "state", "result-key"] {
        assert_found(&run, check, "skip", "this host");
    }
    assert_found(&run, "task-key", "ok", "accepted");
}
