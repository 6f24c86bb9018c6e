//! Keys in tokens: a wrong PIN is tried once, however often the check runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use taskseal_tests::token::PIN;
use taskseal_tests::token_folder::TokenFolder;

use super::{CHECK, assert_found};
use crate::support::keygen::keygen;
use crate::support::token::RunWithToken;

const WITHOUT_LOGIN: [&str; 3] = ["check", "--json", "--no-login"];

/// Returns the state of the PIN as the token reports it.
fn pin_state(folder: &TokenFolder) -> String {
    let listed = folder.run(&["token", "ls", "--module", folder.library().to_str().unwrap(), "--json"]);
    listed.ok().json()["pin"].as_str().unwrap().to_owned()
}

#[test]
fn wrong_pin_is_found_with_one_attempt_and_not_tried_at_the_next_run() {
    let folder = TokenFolder::new();
    let project = folder.project();
    fs::write(folder.path("pin"), "00000000").unwrap();
    let run = folder.run_in(&project, &CHECK);
    run.failed(7).hinted();
    assert_found(&run, "token", "fail", "rejected the PIN");
    assert_found(&run, "decryption-key", "skip", "its token is not open");
    assert_found(&run, "task-key", "skip", "its token is not open");
    assert_eq!(pin_state(&folder), "count-low");

    // Not even the right PIN is sent: the check cannot know that it is right.
    fs::write(folder.path("pin"), PIN).unwrap();
    let run = folder.run_in(&project, &CHECK);
    run.failed(7).hinted();
    assert_found(&run, "token", "fail", "no attempt was made");
    assert_eq!(pin_state(&folder), "count-low");

    folder.run(&["token", "check", &folder.uri("token=plant")]).ok();
    folder.run_in(&project, &CHECK).ok();
}

#[test]
fn wrong_pin_of_a_key_that_wraps_files_is_found_with_one_attempt() {
    let folder = TokenFolder::new();
    let kek = folder.uri("token=plant;object=kek");
    folder.run(&["token", "wrapping-key", &kek]).ok();
    folder.run(&["init", "project"]).ok();
    let project = folder.path("project");
    let text = fs::read_to_string(project.join("taskseal.toml")).unwrap();
    let keyset = fs::read_to_string(project.join("keyset.toml")).unwrap();
    let arguments = keygen("SP", &["--out", "wrapped.key", "--wrap", &kek, "--json"]);
    let made = folder.run_in(&project, &arguments).ok().json();
    fs::write(project.join("keyset.toml"), keyset + made["entry"].as_str().unwrap()).unwrap();
    fs::write(project.join("taskseal.toml"), text.replace("keys/worker.key", "wrapped.key")).unwrap();
    folder.run_equipped(&project, &CHECK, b"").ok();

    fs::write(folder.path("pin"), "00000000").unwrap();
    let run = folder.run_equipped(&project, &WITHOUT_LOGIN, b"");
    assert_found(run.ok(), "decryption-key", "skip", "its token is not open");
    assert_eq!(pin_state(&folder), "ok");
    for _ in 0..2 {
        let run = folder.run_equipped(&project, &CHECK, b"");
        run.failed(7);
        assert_found(&run, "decryption-key", "fail", "PIN");
        assert_eq!(pin_state(&folder), "count-low");
    }
}

#[test]
fn token_and_pin_file_are_checked_without_a_login() {
    let folder = TokenFolder::new();
    let project = folder.project();
    fs::set_permissions(folder.path("pin"), Permissions::from_mode(0o644)).unwrap();
    let run = folder.run_in(&project, &WITHOUT_LOGIN);
    run.failed(5).hinted();
    assert_found(&run, "token", "fail", "PIN");

    fs::set_permissions(folder.path("pin"), Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.path("pin"), "00000000").unwrap();
    let run = folder.run_in(&project, &WITHOUT_LOGIN);
    assert_found(run.ok(), "token", "skip", "not logged in");
    assert_eq!(pin_state(&folder), "ok");

    let text = fs::read_to_string(project.join("taskseal.toml")).unwrap();
    fs::write(project.join("taskseal.toml"), text.replace("token=plant", "token=elsewhere")).unwrap();
    let run = folder.run_in(&project, &WITHOUT_LOGIN);
    run.failed(5);
    assert_found(&run, "token", "fail", "no such token");
}

#[test]
fn host_with_its_keys_in_a_token_passes() {
    let folder = TokenFolder::new();
    let project = folder.project();
    let run = folder.run_in(&project, &CHECK);
    assert_found(run.ok(), "token", "ok", "logged in");
    assert_found(&run, "decryption-key", "ok", "worker.decryption_keys");
    assert_found(&run, "task-key", "ok", "accepted");
    assert_found(&run, "result-key", "ok", "accepted");
}
