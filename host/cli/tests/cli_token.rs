//! The real binary and a real token: keys that are made in it, tasks that are sealed and opened by it, and what goes wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

#[path = "support/project.rs"]
mod project;
#[path = "support/redis.rs"]
mod redis;
#[path = "support/token.rs"]
mod token;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;
use sha2::Digest;

use self::project::{Project, Run, run_in};
use self::redis::RedisServer;
use self::token::{PIN, TokenFolder};

const ENQUEUE: [&str; 7] =
    ["enqueue", "--queue", "default", "--type", "file:digest", "--payload", "sample.txt"];

#[test]
fn pin_in_a_uri_is_refused_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    for scheme in ["pkcs11", "PKCS11"] {
        let uri = format!("{scheme}:token=a;object=b?pin-value=secret77");
        for arguments in [&["token", "check"][..], &["keygen", "--suite", "S", "--pkcs11"], &["token", "ls"]]
        {
            let run = run_in(dir.path(), &[arguments, &[&uri]].concat(), b"");
            run.failed(2);
            assert!(!run.err.contains("secret77"), "{arguments:?}: {}", run.err);
        }
    }
    let run = run_in(dir.path(), &["token", "check", "pkcs11:token=a?pin-value=secret77"], b"");
    assert!(run.failed(2).err.contains("pin-source"), "{}", run.err);
}

#[test]
fn pin_in_a_uri_of_the_configuration_is_not_shown() {
    for scheme in ["pkcs11", "PKCS11"] {
        let project = Project::new();
        let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
        let key = text.lines().find(|line| line.starts_with("key = ")).unwrap();
        project.edit(
            "taskseal.toml",
            key,
            &format!("key = \"{scheme}:token=a;object=b?pin-value=secret77\""),
        );
        let run = project.run(&ENQUEUE);
        assert!(run.code != Some(0) && !run.err.is_empty() && !run.err.contains("secret77"), "{}", run.err);
    }
}

#[test]
fn wrong_pin_is_tried_once_and_nothing_is_made() {
    let folder = TokenFolder::new();
    fs::write(folder.path("pin"), "00000000").unwrap();
    let run = folder.run(&["keygen", "--suite", "S", "--pkcs11", &folder.uri("token=plant;object=k")]);
    run.failed(5).hinted();
    assert!(run.err.contains("pin") && !run.err.contains("00000000"), "{}", run.err);
    fs::write(folder.path("pin"), PIN).unwrap();
    let token = folder.run(&["token", "check", &folder.uri("token=plant"), "--json"]).ok().json();
    assert_eq!(token["keys"], Value::Array(Vec::new()));
}

#[test]
fn pin_file_that_others_can_read_is_refused() {
    let folder = TokenFolder::new();
    fs::set_permissions(folder.path("pin"), Permissions::from_mode(0o640)).unwrap();
    folder.run(&["token", "check", &folder.uri("token=plant")]).failed(5).hinted();
}

#[test]
fn token_that_is_not_there_or_goes_by_a_name_of_two_is_out_of_reach() {
    let folder = TokenFolder::new();
    folder.run(&["token", "check", &folder.uri("token=elsewhere")]).failed(5).hinted();
    folder.add_token("plant");
    let run = folder.run(&["token", "check", &folder.uri("token=plant")]);
    run.failed(5).hinted();
    assert!(run.err.contains("2 tokens"), "{}", run.err);
}

#[test]
fn uri_without_a_library_says_how_to_name_one() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_in(dir.path(), &["token", "check", "pkcs11:token=plant?pin-source=env:PIN"], b"");
    run.failed(5);
    assert!(run.err.contains("module-path"), "{}", run.err);
}

#[test]
fn shared_key_and_a_key_with_a_given_id_are_not_made_in_a_token() {
    let folder = TokenFolder::new();
    let uri = folder.uri("token=plant;object=k");
    folder.run(&["keygen", "--suite", "E", "--pkcs11", &uri]).failed(2).hinted();
    // One that never leaves a token has nobody to verify what it seals.
    folder.run(&["keygen", "--suite", "M", "--pkcs11", &uri]).failed(2).hinted();
    let uri = folder.uri("token=plant;object=k;id=%01");
    folder.run(&["keygen", "--suite", "S", "--pkcs11", &uri]).failed(2).hinted();
    folder.run(&["keygen", "--suite", "S", "--out", "k", "--pkcs11", &uri]).failed(2).hinted();
}

#[test]
fn label_that_is_taken_is_not_given_twice() {
    let folder = TokenFolder::new();
    let uri = folder.uri("token=plant;object=k");
    folder.run(&["keygen", "--suite", "S", "--pkcs11", &uri]).ok();
    folder.run(&["keygen", "--suite", "S", "--pkcs11", &uri]).failed(5);
}

/// The labels of all keys in a token, in order.
fn labels(folder: &TokenFolder) -> Vec<String> {
    let token = folder.run(&["token", "check", &folder.uri("token=plant"), "--json"]).ok().json();
    let keys = token["keys"].as_array().unwrap().iter();
    let mut labels: Vec<_> = keys.map(|key| key["label"].as_str().unwrap().to_owned()).collect();
    labels.sort();
    labels
}

#[test]
fn init_that_cannot_log_in_leaves_nothing_in_the_way_of_the_next() {
    let folder = TokenFolder::new();
    fs::write(folder.path("pin"), "00000000").unwrap();
    let init = ["init", "below/project", "--pkcs11", &folder.uri("token=plant")];
    folder.run(&init).failed(5).hinted();
    assert!(!folder.path("below").exists());
    fs::write(folder.path("pin"), PIN).unwrap();
    folder.run(&init).ok();
}

#[test]
fn init_whose_last_label_is_taken_makes_no_key_and_no_folder() {
    let folder = TokenFolder::new();
    let uri = folder.uri("token=plant");
    let reader = folder.uri("token=plant;object=local%2Freader");
    folder.run(&["keygen", "--suite", "SP", "--pkcs11", &reader]).ok();
    fs::create_dir(folder.path("project")).unwrap();
    let run = folder.run(&["init", "project", "--pkcs11", &uri]);
    run.failed(5).hinted();
    assert!(run.err.contains("`local/reader`") && run.err.contains("--deployment NAME"), "{run:?}");
    assert_eq!(labels(&folder), ["local/reader"]);
    assert_eq!(fs::read_dir(folder.path("project")).unwrap().count(), 0);
    folder.run(&["init", "project", "--pkcs11", &uri, "--deployment", "other"]).ok();
    assert_eq!(labels(&folder).len(), 5);
}

#[test]
fn init_that_fails_behind_its_keys_names_those_that_stay_in_the_token() {
    let folder = TokenFolder::new();
    // Long enough for the folders of a project and too long for `keyset.toml`, whoever asks.
    let mut dir = format!("{}/", "d".repeat(240)).repeat(16);
    dir.push_str(&"d".repeat(4085 - dir.len()));
    let run = folder.run(&["init", &dir, "--pkcs11", &folder.uri("token=plant")]);
    run.failed(1);
    let labels = labels(&folder);
    assert_eq!(labels, ["local/producer", "local/reader", "local/worker", "local/worker-sign"]);
    let told = run.err.lines().find(|line| line.contains("remain in pkcs11:token=plant: ")).unwrap();
    assert!(labels.iter().all(|label| told.contains(&format!("{label} ("))), "{told}");
}

#[test]
fn key_that_is_not_there_is_not_found_by_check() {
    let folder = TokenFolder::new();
    folder.run(&["token", "check", &folder.uri("token=plant;object=k")]).failed(4);
}

#[test]
fn task_is_not_enqueued_while_its_token_is_gone() {
    let folder = TokenFolder::new();
    let project = folder.project();
    fs::rename(folder.path("tokens"), folder.path("away")).unwrap();
    fs::create_dir(folder.path("tokens")).unwrap();
    folder.run_in(&project, &ENQUEUE).failed(5).hinted();
    let queues = folder.run_in(&project, &["queue", "ls", "--json"]);
    assert!(queues.out.is_empty() || queues.json()["pending"] == 0, "{queues:?}");
}

/// Hands a program a pipe to read from, which it opens once it has its keys; takes the token away; then writes `input`.
fn losing_its_token(folder: &TokenFolder, project: &Path, arguments: &[&str], input: &[u8]) -> Run {
    let pipe = project.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let run = thread::scope(|scope| {
        let running = scope.spawn(|| folder.run_in(project, arguments));
        // Opening waits for the reader.
        let mut writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        fs::rename(folder.path("tokens"), folder.path("away")).unwrap();
        fs::create_dir(folder.path("tokens")).unwrap();
        writer.write_all(input).unwrap();
        drop(writer);
        running.join().unwrap()
    });
    fs::remove_dir_all(folder.path("tokens")).unwrap();
    fs::rename(folder.path("away"), folder.path("tokens")).unwrap();
    fs::remove_file(pipe).unwrap();
    run
}

#[test]
fn token_that_is_lost_while_a_program_runs_is_out_of_reach_and_no_other_failure() {
    let folder = TokenFolder::new();
    let project = folder.project();
    let seal = ["seal", "--queue", "default", "--type", "file:digest"];
    let task = project.join("task.cose");
    folder.run_in(&project, &[&seal[..], &["sample.txt", "--out", "task.cose"]].concat()).ok();
    let sealed = fs::read(task).unwrap();
    folder.run_in(&project, &["open", "--queue", "default", "task.cose"]).ok();

    losing_its_token(&folder, &project, &["open", "--queue", "default", "pipe"], &sealed).failed(5);
    losing_its_token(&folder, &project, &[&seal[..], &["pipe", "--out", "other.cose"]].concat(), b"x")
        .failed(5);
    assert!(!project.join("other.cose").exists());
    let enqueue = ["enqueue", "--queue", "default", "--type", "file:digest", "--payload", "pipe"];
    losing_its_token(&folder, &project, &enqueue, b"x").failed(5);
}

#[test]
fn public_key_alone_does_not_decrypt_where_the_key_is_one_that_signs() {
    let folder = TokenFolder::new();
    let project = folder.project();
    let text = fs::read_to_string(project.join("taskseal.toml")).unwrap();
    let key = text.lines().find_map(|line| line.strip_prefix("key = ")).unwrap().to_owned();
    let text = text.lines().map(|line| {
        if line.starts_with("decryption_keys") {
            format!("decryption_keys = [{key}]")
        } else {
            line.to_owned()
        }
    });
    let text = text.collect::<Vec<_>>().join("\n");
    fs::write(project.join("taskseal.toml"), text).unwrap();
    let run = folder.run_in(&project, &["worker", "--once"]);
    run.failed(5);
    assert!(run.err.contains("not made for this use"), "{}", run.err);
}

/// Every file below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn the_promise(folder: &TokenFolder, project: &Path) {
    let id = folder.run_in(project, &ENQUEUE).ok().text().trim().to_owned();
    folder.run_in(project, &["worker", "--once"]).ok();
    let result = folder.run_in(project, &["result", &id]);
    let digest = sha2::Sha256::digest(b"Bytes worth sealing.\n");
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let answer: Value = serde_json::from_slice(&result.ok().out).unwrap();
    assert_eq!(answer["sha256"], digest.as_str());
    for file in files(project) {
        let content = fs::read(&file).unwrap();
        let secret = content.windows(10).any(|window| window == b"SECRET KEY");
        assert!(!secret, "{} holds a secret key", file.display());
    }
}

#[test]
fn task_is_sealed_run_and_answered_with_every_private_key_in_a_token() {
    let folder = TokenFolder::new();
    let project = folder.project();
    the_promise(&folder, &project);
}

#[test]
fn task_on_redis_is_sealed_run_and_answered_with_every_private_key_in_a_token() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let folder = TokenFolder::new();
    let project = folder.project();
    let file = project.join("taskseal.toml");
    let text = fs::read_to_string(&file).unwrap();
    let url = format!("url = \"{}\"", server.url());
    fs::write(&file, text.replacen("# url = \"rediss://taskseal@redis.example:6380/0\"", &url, 1)).unwrap();
    the_promise(&folder, &project);
}

#[test]
fn key_made_in_a_token_seals_by_the_uri_that_keygen_prints() {
    let folder = TokenFolder::new();
    let project = folder.project();
    let uri = folder.uri("token=plant;object=second");
    let made = folder.run(&["keygen", "--suite", "S", "--pkcs11", &uri, "--issuer", "producer", "--json"]);
    let made = made.ok().json();
    let keyset = fs::read_to_string(project.join("keyset.toml")).unwrap();
    fs::write(project.join("keyset.toml"), keyset + made["entry"].as_str().unwrap()).unwrap();
    let text = fs::read_to_string(project.join("taskseal.toml")).unwrap();
    let text = text.lines().map(|line| match line.starts_with("key = ") {
        true => format!("key = {}", made["uri"]),
        false => line.to_owned(),
    });
    fs::write(project.join("taskseal.toml"), text.collect::<Vec<_>>().join("\n")).unwrap();
    the_promise(&folder, &project);
    let checked = folder.run(&["token", "check", made["uri"].as_str().unwrap(), "--json"]).ok().json();
    assert_eq!(checked["keys"][0]["id"], made["kid"]);
    assert_eq!(checked["keys"][0]["state"], "ok");
}

#[test]
fn task_authenticated_by_a_key_in_a_token_runs_where_its_secret_is_in_a_file() {
    if token::is_importing() {
        return;
    }
    let folder = TokenFolder::new();
    folder.run(&["init", "project"]).ok();
    let project = folder.path("project");
    let arguments = ["keygen", "--suite", "M", "--out", "mac.key", "--issuer", "producer", "--json"];
    let made = folder.run_in(&project, &arguments).ok().json();
    let (kid, entry) = (made["kid"].as_str().unwrap(), made["entry"].as_str().unwrap());
    // The worker has the secret; the results stay in suite SP.
    let text = fs::read_to_string(project.join("taskseal.toml")).unwrap();
    let keyset = fs::read_to_string(project.join("keyset.toml")).unwrap();
    fs::write(project.join("taskseal.toml"), text.replace("suites = [\"SP\"]", "suites = [\"M\", \"SP\"]"))
        .unwrap();
    fs::write(project.join("keyset.toml"), format!("{keyset}\n{entry}")).unwrap();
    // The producer has a token.
    let id: String =
        kid.as_bytes().chunks(2).map(|hex| format!("%{}", str::from_utf8(hex).unwrap())).collect();
    let uri = folder.uri(&format!("token=plant;id={id};type=secret-key"));
    let lines = text.lines().map(|line| match line.split(' ').next() {
        Some("suite") => "suite = \"M\"".to_owned(),
        Some("key") => format!("key = \"{uri}\""),
        Some("[broker]") => "[keys]\nkeyset = \"producer.toml\"\n[broker]".to_owned(),
        Some("recipient") => String::new(),
        _ => line.to_owned(),
    });
    fs::write(project.join("config.toml"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let named = entry.lines().map(|line| match line.starts_with("secret_file = ") {
        true => "in_token = true",
        false => line,
    });
    let named = named.collect::<Vec<_>>().join("\n");
    fs::write(project.join("producer.toml"), format!("{keyset}\n{named}\n")).unwrap();
    let enqueue = [&["--config", "config.toml"], ENQUEUE.as_slice()].concat();
    folder.run_in(&project, &enqueue).failed(5).hinted();

    let secret = taskseal::file_security::read(&project.join("mac.key")).unwrap();
    let mut room = [0; 256];
    let (_, cose_key) = pem_rfc7468::decode(&secret, &mut room).unwrap();
    let this = "task_authenticated_by_a_key_in_a_token_runs_where_its_secret_is_in_a_file";
    folder.import_mac(this, "shared", kid, &cose_key[cose_key.len() - 32..]);
    let checked = folder.run(&["token", "check", &uri, "--json"]).ok().json();
    assert_eq!(checked["keys"][0]["state"], "ok", "{checked}");
    // From here on the secret is with the worker only.
    let id = folder.run_in(&project, &enqueue).ok().text().trim().to_owned();
    folder.run_in(&project, &["worker", "--once"]).ok();
    let digest = sha2::Sha256::digest(b"Bytes worth sealing.\n");
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let result = folder.run_in(&project, &["result", &id]);
    let answer: Value = serde_json::from_slice(&result.ok().out).unwrap();
    assert_eq!(answer["sha256"], digest.as_str());
}

#[test]
fn tokens_are_listed_without_a_login() {
    let folder = TokenFolder::new();
    folder.add_token("other");
    let library = taskseal_hsm::softhsm::find_library().unwrap();
    let listed = folder.run(&["token", "ls", "--module", library.to_str().unwrap(), "--json"]);
    let labels: Vec<Value> = listed
        .ok()
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["token"].clone())
        .collect();
    assert_eq!(labels.len(), 2);
    assert!(labels.contains(&"plant".into()) && labels.contains(&"other".into()));
}

#[test]
fn demonstration_with_its_keys_in_a_token_stops_every_attack() {
    let folder = TokenFolder::new();
    fs::create_dir(folder.path("input")).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(folder.path("input").join(name), name).unwrap();
    }
    let report = folder.run(&["demo", "--hsm", "--input", "input", "--json"]).ok().json();
    assert_eq!(
        (&report["executed"], &report["forged_executed"], &report["lost"]),
        (&3.into(), &0.into(), &0.into())
    );
    assert!(report["attacks"].as_array().unwrap().iter().all(|attack| attack["stopped"] == true));
    // Three tasks and their results at least, besides what the attacks needed.
    assert!(report["token"]["signatures"].as_u64().unwrap() >= 6, "{report}");
    assert!(report["token"]["agreements"].as_u64().unwrap() >= 6, "{report}");
}
