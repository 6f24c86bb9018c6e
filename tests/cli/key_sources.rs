//! Keys from secret sources: `env:` and `exec:`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, test_kill_process};
use taskseal::keys::{Algorithm, SecretKey};
use taskseal_tests::vault::ContractVault;

use crate::support::program::{Run, run_with_environment};
use crate::support::project::{OPEN, Project, SEAL};

/// Returns the content of the key file that `table` of the configuration names in `key`, and has it name `uri` instead.
fn take_key(project: &Project, uri: &str) -> String {
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("key = ")).unwrap();
    let file = line.split('"').nth(1).unwrap().to_owned();
    project.edit("taskseal.toml", line, &format!("key = \"{uri}\""));
    let pem = fs::read_to_string(project.path(&file)).unwrap();
    fs::remove_file(project.path(&file)).unwrap();
    pem
}

/// A project whose client has the key of the program `fetch`, a shell script of these lines, with its time limit.
fn project_with_command(lines: impl Fn(&str) -> String, timeout: &str) -> (Project, String) {
    let project = Project::new();
    let pem = take_key(&project, "exec:vault");
    let section = format!("[key_command.vault]\nprogram = [\"./fetch\", \"kv\"]\ntimeout = \"{timeout}\"\n");
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    fs::write(project.path("taskseal.toml"), text + "\n" + &section).unwrap();
    fs::write(project.path("fetch"), format!("#!/bin/sh\n{}\n", lines(&pem))).unwrap();
    fs::set_permissions(project.path("fetch"), Permissions::from_mode(0o755)).unwrap();
    (project, pem)
}

/// A line of base64 of a key.
fn secret_line(pem: &str) -> &str {
    pem.lines().skip_while(|line| !line.starts_with("-----BEGIN")).nth(1).unwrap()
}

fn as_json(pem: &str) -> String {
    serde_json::json!({ "v": 1, "secret": pem, "version": "3", "ttl": 300 }).to_string()
}

fn opens(project: &Project, sealed: &Run) {
    assert_eq!(project.run_with(&OPEN, &sealed.ok().out).ok().out, b"body");
}

#[test]
fn key_in_a_variable_that_is_not_set_is_not_found() {
    let project = Project::new();
    take_key(&project, "env:CLIENT_KEY");
    let run = project.run_with(&SEAL, b"body");
    run.failed(4).hinted();
    assert!(run.err.contains("env:CLIENT_KEY: client.key: the environment variable CLIENT_KEY is not set"));
}

#[test]
fn key_in_a_variable_seals_with_one_warning_and_is_not_shown() {
    let project = Project::new();
    let pem = take_key(&project, "env:CLIENT_KEY");
    let run = run_with_environment(project.dir.path(), &[("CLIENT_KEY", Path::new(&pem))], &SEAL, b"body");
    opens(&project, &run);
    assert_eq!(
        run.err.matches("the environment variable CLIENT_KEY contains a secret").count(),
        1,
        "{run:?}"
    );
    assert!(!run.err.contains(secret_line(&pem)));
}

#[test]
fn program_that_fails_or_runs_for_too_long_makes_the_key_unavailable() {
    let (project, _) = project_with_command(|_| "echo 'no route to host' >&2; exit 1".to_owned(), "10s");
    let run = project.run_with(&SEAL, b"body");
    run.failed(5);
    assert!(
        run.err.contains("exec:vault: client.key: its program failed (exit status: 1): no route to host"),
        "{run:?}"
    );

    // A process in another session is killed as well.
    let wait = "setsid sh -c 'echo $$ > pid.new; mv pid.new pid; exec sleep 600' &\nuntil [ -e pid ]; do :; done\nexec sleep 600";
    let (project, _) = project_with_command(|_| wait.to_owned(), "3s");
    let run = project.run_with(&SEAL, b"body");
    run.failed(5).hinted();
    assert!(run.err.contains("its program has not ended within 3 s"), "{run:?}");
    let pid = fs::read_to_string(project.path("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    assert!(test_kill_process(pid).is_err());
}

#[test]
fn secret_in_the_wrong_form_is_refused_and_not_shown() {
    let (project, pem) = project_with_command(|pem| format!("cat <<'END'\n{pem}\nEND\n"), "10s");
    let run = project.run_with(&SEAL, b"body");
    run.failed(1).hinted();
    assert!(run.err.contains("not one JSON object") && !run.err.contains(secret_line(&pem)), "{run:?}");
}

#[test]
fn key_that_a_program_fetches_seals() {
    let (project, pem) = project_with_command(|pem| format!("cat <<'END'\n{}\nEND", as_json(pem)), "10s");
    let run = project.run_with(&SEAL, b"body");
    opens(&project, &run);
    assert!(!run.err.contains(secret_line(&pem)));
}

#[test]
fn entry_of_a_key_in_vault_or_of_a_program_is_printed_without_its_secret() {
    let (project, pem) = project_with_command(|pem| format!("cat <<'END'\n{}\nEND", as_json(pem)), "10s");
    let server = ContractVault::start();
    let key = SecretKey::create(&project.path("transit.key"), Algorithm::Es256, "test").unwrap();
    let kid = key.kid();
    let SecretKey::Sign(key) = key else { panic!("another key") };
    server.add_signing_key("producer", *key);
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let section = format!("[vault]\naddress = \"{}\"\ntoken = \"file:token\"\n", server.address());
    fs::write(project.path("taskseal.toml"), text + &section).unwrap();
    fs::write(project.path("token"), "root-token").unwrap();
    fs::set_permissions(project.path("token"), Permissions::from_mode(0o600)).unwrap();

    let rights = ["--issuer", "shop", "--type", "a", "--audience", "plant/*"];
    let entry = |uri: &str| project.run(&[&["key", "entry", uri], &rights[..]].concat());
    let missing = entry("vault://transit/keys/missing");
    missing.failed(4).hinted();
    let run = entry("vault://transit/keys/producer");
    assert!(run.ok().text().contains(&format!("kid = \"{kid}\"")), "{run:?}");
    let run = entry("exec:vault");
    assert!(
        run.ok().text().contains("alg = \"ES256\"") && !run.text().contains(secret_line(&pem)),
        "{run:?}"
    );
    assert_eq!(server.violations(), Vec::<String>::new());
}
