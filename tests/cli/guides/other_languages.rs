//! The guides for producers in other languages, with the interpreters and compilers of this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use taskseal_tests::redis::RedisServer;

use super::{blocks, run};
use crate::support::project::Project;

const ANY_PROGRAM: &str = include_str!("../../../host/docs/seal-from-any-program.md");
const FROM_GO: &str = include_str!("../../../host/docs/seal-from-go.md");

/// Returns whether the program can be started; otherwise prints that the test is skipped.
fn have(program: &str, argument: &str) -> bool {
    let found = Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: {program} is missing");
    }
    found
}

/// Returns the first block of this language.
fn block<'g>(guide: &'g str, language: &str) -> &'g str {
    blocks(guide).into_iter().find(|block| block.language == language).unwrap().text
}

/// Returns the commands of all console blocks, as they are printed.
fn commands(guide: &str) -> Vec<&str> {
    let console = blocks(guide).into_iter().filter(|block| block.language == "console");
    console.flat_map(|block| block.text.lines()).filter_map(|line| line.strip_prefix("$ ")).collect()
}

#[test]
fn guide_for_any_program_enqueues_from_python_and_from_a_shell() {
    if !have("python3", "--version") {
        return;
    }
    let project = Project::new();
    let (folder, id) = (project.dir.path(), project.path("unused"));
    fs::write(project.path("producer.py"), block(ANY_PROGRAM, "python")).unwrap();

    let ids = run("python3 producer.py", folder, &id);
    let printed = run(&format!("set -e\n{}", commands(ANY_PROGRAM).join("\n")), folder, &id);

    assert_eq!(ids.lines().count(), 2, "{ids}");
    assert!(printed.contains("sha256"), "{printed}");
    // The first of the tasks from Python; the second one starts later.
    let first = ids.lines().next().unwrap();
    project.run(&["result", first]).ok();
}

#[test]
fn guide_for_go_ends_with_the_result_of_a_task_that_the_client_of_asynq_enqueued() {
    if !have("go", "version") {
        return;
    }
    let Some(server) = RedisServer::start_or_skip() else { return };
    let project = Project::new();
    let url = format!("[broker]\nurl = \"{}\"", server.url());
    project.edit("taskseal.toml", "[broker]", &url);
    fs::write(project.path("main.go"), block(FROM_GO, "go")).unwrap();
    let commands = commands(FROM_GO);
    let (build, rest) = commands.split_at(2);
    if let Some(reason) = download_failure(&project, build) {
        eprintln!("SKIPPED: {reason}");
        return;
    }
    let address = server.url();
    let address = address.trim_start_matches("redis://").trim_end_matches("/0");
    let rest = rest.join("\n").replace("localhost:6379", address);

    let printed =
        run(&format!("set -e\n{}{rest}", environment()), project.dir.path(), &project.path("unused"));

    assert!(printed.contains("sha256"), "{printed}");
}

/// Returns where Go puts what it downloads and builds: with the built files of the tests.
fn environment() -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let folder = folder.display();
    format!(
        "export GOCACHE='{folder}/cache' GOMODCACHE='{folder}/modules' GOFLAGS=-modcacherw GOTOOLCHAIN=local\n"
    )
}

/// Runs the commands that download modules; returns why they failed, as on a machine without a connection.
fn download_failure(project: &Project, commands: &[&str]) -> Option<String> {
    let script = format!("set -e\n{}{}", environment(), commands.join("\n"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(project.dir.path()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let last = error.lines().last().unwrap_or_default();
    (!output.status.success()).then(|| format!("cannot download the modules: {last}"))
}
