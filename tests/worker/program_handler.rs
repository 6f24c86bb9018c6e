//! Programs as handlers: their input, the meaning of their exit status, and that none outlives its time limit.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taskseal::broker::TaskState;
use taskseal::handler::{Failure, Handler, Handlers, OpenedTask, Output, Program, ProgramLimits};
use taskseal::{Task, Worker};
use taskseal_core::ContentType;
use taskseal_tests::fleet::{Fleet, Noted, Running, mail, new_id, until};

fn sh(script: &str) -> Program {
    Program::new(["/bin/sh", "-c", script].map(str::to_owned).into()).unwrap()
}

fn task(body: &[u8]) -> OpenedTask {
    OpenedTask {
        id: new_id(),
        sealed_by: None,
        issuer: "shop".into(),
        task_type: "email:send".into(),
        queue: mail(),
        content_type: "application/json".into(),
        attempt: 3,
        timeout: Duration::from_secs(60),
        body: body.to_vec().into(),
    }
}

async fn run(program: &Program, body: &[u8]) -> Result<Output, Failure> {
    tokio::time::timeout(Duration::from_secs(60), program.run(task(body))).await.expect("does not hang")
}

fn body(output: Result<Output, Failure>) -> Vec<u8> {
    output.unwrap().body.to_vec()
}

#[test]
fn program_without_a_name_is_none() {
    assert!(Program::new(Vec::new()).is_none());
}

#[tokio::test]
async fn start_that_fails_is_not_a_failed_attempt() {
    let missing = Program::new(vec!["/nowhere/program".into()]).unwrap();
    let Err(Failure::NotStarted(reason)) = run(&missing, b"").await else { panic!("started") };
    assert!(reason.starts_with("cannot start /nowhere/program: "), "{reason}");
    let nowhere = sh("true").working_dir("/nowhere".into());
    assert!(matches!(run(&nowhere, b"").await, Err(Failure::NotStarted(_))));
}

#[tokio::test]
async fn task_waits_for_its_program_and_keeps_its_attempts() {
    let fleet = Fleet::embedded().await;
    let file = fleet.path("program");
    let mut handlers = Handlers::default();
    let program = Program::new(vec![file.to_str().unwrap().to_owned()]).unwrap();
    handlers.insert("text:upper", Arc::new(program));
    let worker = Running::start(fleet.worker_settings(), fleet.parts(handlers));
    let task = Task::from_bytes("text:upper", ContentType::OCTETS, b"ada".to_vec()).unwrap().attempts(1);
    let receipt = fleet.client().enqueue(task).await.unwrap();
    let given_back = |noted: &Noted| matches!(noted, Noted::GivenBack { .. });
    until("several starts to fail", async || (worker.seen.count(given_back) >= 3).then_some(())).await;

    let new = fleet.path("program.new");
    std::fs::write(&new, "#!/bin/sh\nexec tr a-z A-Z\n").unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::rename(new, file).unwrap();

    fleet.until_in(&receipt.id.to_string(), TaskState::Completed).await;
    let tally = worker.stop().await;
    assert_eq!((tally.succeeded, tally.retried, tally.archived), (1, 0, 0));
}

#[tokio::test]
async fn exit_65_gives_up_and_every_other_failure_is_tried_again() {
    let Err(Failure::GiveUp(reason)) = run(&sh("echo 'no such account' >&2; exit 65"), b"").await else {
        panic!("did not give up");
    };
    assert!(reason.contains("65") && reason.ends_with("no such account"), "{reason}");
    for script in ["exit 1", "exit 64", "exit 66", "exit 127", "exit 255", "kill -KILL $$"] {
        assert!(matches!(run(&sh(script), b"").await, Err(Failure::TryAgain(_))), "{script}");
    }
    // The same signal may stop the worker.
    assert!(matches!(run(&sh("kill -TERM $$"), b"").await, Err(Failure::Terminated(_))));
}

#[tokio::test]
async fn output_of_a_failed_program_is_not_a_result() {
    assert!(run(&sh("echo done; exit 1"), b"").await.is_err());
}

#[tokio::test]
async fn body_comes_in_and_result_goes_out_byte_by_byte() {
    let every_byte: Vec<u8> = (0..=255).collect();
    assert_eq!(body(run(&sh("cat"), &every_byte).await), every_byte);
    assert_eq!(body(run(&sh("exit 0"), b"unread").await), b"");
    let program = sh("cat").output_type(ContentType::JSON);
    assert_eq!(run(&program, b"{}").await.unwrap().content_type, "application/json");
    assert_eq!(run(&sh("cat"), b"").await.unwrap().content_type, "application/octet-stream");
}

#[tokio::test]
async fn environment_holds_nothing_of_the_worker() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let program = Program::new(vec!["/usr/bin/env".into()]).unwrap().env("LANG", "C.UTF-8");
    let mut task = task(b"");
    task.timeout = Duration::from_secs(5);
    let id = task.id;
    let output = program.run(task).await.unwrap();
    let text = String::from_utf8(output.body.to_vec()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let expected = [
        "LANG=C.UTF-8".to_owned(),
        "PATH=/usr/local/bin:/usr/bin:/bin".to_owned(),
        "TASKSEAL_ATTEMPT=3".to_owned(),
        "TASKSEAL_BODY_LENGTH=0".to_owned(),
        "TASKSEAL_CONTENT_TYPE=application/json".to_owned(),
        "TASKSEAL_ISSUER=shop".to_owned(),
        "TASKSEAL_QUEUE=mail".to_owned(),
        "TASKSEAL_SEALED_BY=".to_owned(),
        format!("TASKSEAL_TASK_ID={id}"),
        "TASKSEAL_TASK_TYPE=email:send".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn program_runs_in_its_folder_and_no_shell_reads_its_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let program = sh("pwd -P").working_dir(folder.path().to_owned());
    let real = folder.path().canonicalize().unwrap();
    assert_eq!(body(run(&program, b"").await), format!("{}\n", real.display()).into_bytes());
    let words = ["/bin/echo", "$HOME", "`id`", ";exit"].map(str::to_owned);
    assert_eq!(body(run(&Program::new(words.into()).unwrap(), b"").await), b"$HOME `id` ;exit\n");
}

#[tokio::test]
async fn program_that_does_not_read_its_input_succeeds() {
    let large = vec![b'x'; 8 << 20];
    assert_eq!(body(run(&sh("echo early; exit 0"), &large).await), b"early\n");
    assert_eq!(body(run(&sh("exec <&-; echo closed"), &large).await), b"closed\n");
}

#[tokio::test]
async fn large_input_and_output_at_once_do_not_block_each_other() {
    let large: Vec<u8> = (0..8_u32 << 18).flat_map(u32::to_be_bytes).collect();
    let limits = ProgramLimits { stdout: 8 << 20, stderr: 10 };
    let program = sh("tee /dev/stderr").limits(limits);
    assert!(body(run(&program, &large).await) == large);
}

#[tokio::test]
async fn output_of_exactly_the_limit_is_whole_and_one_byte_more_gives_up() {
    let limits = ProgramLimits { stdout: 10_000, stderr: 10 };
    let print = |bytes: usize| sh(&format!("head -c {bytes} /dev/zero")).limits(limits);
    assert_eq!(body(run(&print(10_000), b"").await).len(), 10_000);
    let reason = Failure::GiveUp("more than 10000 bytes of output".into());
    assert_eq!(run(&print(10_001), b"").await.unwrap_err(), reason);
    // Output that never ends is not read without a limit.
    assert_eq!(run(&sh("yes").limits(limits), b"").await.unwrap_err(), reason);
    let none = ProgramLimits { stdout: 0, stderr: 0 };
    assert_eq!(body(run(&sh("exit 0").limits(none), b"").await), b"");
    assert!(run(&sh("echo").limits(none), b"").await.is_err());
}

#[tokio::test]
async fn words_of_a_program_are_bounded() {
    let program =
        sh("printf 'bad\\033[2J\\nnews' >&2; head -c 1000000 /dev/zero >&2; printf 'the end' >&2; exit 1")
            .limits(ProgramLimits { stdout: 10, stderr: 12 });
    let Err(Failure::TryAgain(reason)) = run(&program, b"").await else { panic!("succeeded") };
    assert!(reason.ends_with("the end") && reason.len() < 200, "{reason:?}");
}

/// Waits for the process id that a script has written.
async fn pid_in(file: &Path) -> String {
    until("a process id", async || {
        std::fs::read_to_string(file)
            .ok()
            .filter(|text| text.ends_with('\n'))
            .map(|text| text.trim().to_owned())
    })
    .await
}

/// Waits until no such process runs. A zombie does not run.
async fn until_dead(pid: &str) {
    until(&format!("the end of process {pid}"), async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        let dead =
            stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")));
        dead.then_some(())
    })
    .await;
}

#[tokio::test]
async fn dropped_program_is_killed_with_everything_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["child", "grandchild"].map(|name| folder.path().join(name));
    let [child, grandchild] = &files;
    let script = format!(
        "trap '' TERM; sh -c 'echo $$ > {}; exec sleep 600' & echo $$ > {}; wait",
        grandchild.display(),
        child.display()
    );
    let program = sh(&script);
    let running = tokio::spawn(async move { program.run(task(b"")).await.map(drop) });
    let pids = [pid_in(child).await, pid_in(grandchild).await];
    running.abort();
    for pid in pids {
        until_dead(&pid).await;
    }
}

#[tokio::test]
async fn dropped_program_is_killed_although_it_has_left_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    // It joins the group of this process.
    let script = format!(
        "setpgrp(0, getpgrp(getppid)) or die; open(my $f, '>', '{}') or die; print $f \"$$\\n\"; close $f; sleep 600",
        file.display()
    );
    let program = Program::new(["/usr/bin/perl", "-e", &script].map(str::to_owned).into()).unwrap();
    let running = tokio::spawn(async move { program.run(task(b"")).await.map(drop) });
    let pid = pid_in(&file).await;
    running.abort();
    until_dead(&pid).await;
}

#[tokio::test]
async fn program_that_writes_too_much_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let program = sh(&format!("echo $$ > {}; exec yes", file.display()));
    assert!(matches!(run(&program, b"").await, Err(Failure::GiveUp(_))));
    until_dead(&pid_in(&file).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_runs_programs_and_ends_them_at_their_time_limit() {
    let fleet = Fleet::embedded().await;
    let file = fleet.path("pid");
    let mut handlers = Handlers::default();
    handlers.insert("text:upper", Arc::new(sh("tr a-z A-Z")));
    handlers.insert("text:hang", Arc::new(sh(&format!("echo $$ > {}; sleep 600", file.display()))));
    handlers.insert("text:fail", Arc::new(sh("echo 'the password is 1234' >&2; exit 65")));
    let client = fleet.client();
    let of = |task_type| Task::from_bytes(task_type, ContentType::OCTETS, b"ada".to_vec()).unwrap();
    let upper = client.enqueue(of("text:upper")).await.unwrap();
    let hang = client.enqueue(of("text:hang").timeout(Duration::from_secs(1)).attempts(1)).await.unwrap();
    let fail = client.enqueue(of("text:fail")).await.unwrap();
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(handlers)).run_once().await;
    assert_eq!((tally.succeeded, tally.archived), (1, 2));
    let result = client.result(&upper).await.unwrap().unwrap();
    assert_eq!(&**result.body, b"ADA");
    until_dead(&pid_in(&file).await).await;
    for receipt in [hang, fail] {
        let archived = fleet.until_in(&receipt.id.to_string(), TaskState::Archived).await;
        // Neither its output nor its exit status reaches the queue.
        assert_eq!(archived.last_error.as_deref(), Some("taskseal: given up"));
    }
}
