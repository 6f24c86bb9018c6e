//! Handler programs of the command `worker`: they end with their worker, and read whole bodies only.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use sha2::{Digest, Sha256};

use crate::support::project::Project;
use crate::support::queue::{ONCE, until};

/// A handler that writes its process id and that of a child in another session, and does not end.
const TWO_SESSIONS: &str = "setsid sh -c 'echo $$ > child.new; mv child.new child; exec sleep 600' & \
                            echo $$ > pid.new; mv pid.new pid; exec sleep 600";

fn pid_in(project: &Project, file: &str) -> Pid {
    until("the process runs", || project.path(file).exists());
    Pid::from_raw(fs::read_to_string(project.path(file)).unwrap().trim().parse().unwrap()).unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

/// Returns whether the process has ended. A zombie has.
fn has_ended(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_err() || status.is_ok_and(|status| status.contains(") Z "))
}

/// No process of a handler runs for longer than a second after its worker. The second is counted in pauses of this thread. On a host
/// without a free processor they take longer, and so does the supervisor, and neither shows a defect.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSES: u32 = 200;

/// Has a worker run `script` until it is killed by `signal`.
fn kill_while_it_runs(script: &str, signal: Signal) {
    let project = Project::new();
    project.handler(script);
    project.enqueue();
    let mut worker = project.spawn(&["worker", "--quiet"], &[]);
    let pids = ["pid", "child"].map(|file| pid_in(&project, file));

    send(&worker, signal);
    worker.wait().unwrap();

    let mut pauses = 0;
    while !pids.into_iter().all(has_ended) {
        assert!(pauses < PAUSES, "processes of the handler run a second after their worker");
        thread::sleep(PAUSE);
        pauses += 1;
    }
}

#[test]
fn no_process_of_a_handler_outlives_a_killed_worker() {
    kill_while_it_runs(TWO_SESSIONS, Signal::KILL);
}

#[test]
fn no_process_of_a_handler_outlives_a_worker_that_aborts() {
    kill_while_it_runs(TWO_SESSIONS, Signal::ABORT);
}

/// Returns the process id of the supervisor of a program.
fn supervisor_of(program: Pid) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.as_raw_nonzero())).unwrap();
    let parent = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap();
    Pid::from_raw(parent.parse().unwrap()).unwrap()
}

#[test]
fn worker_that_stops_waits_for_processes_that_it_is_killing() {
    let project = Project::new();
    project.edit("taskseal.toml", "timeout = \"1m\"", "timeout = \"1s\"");
    project.edit("taskseal.toml", "[worker]\n", "[worker]\ndrain = \"0s\"\n");
    project.handler(TWO_SESSIONS);
    project.enqueue();
    let mut worker = project.spawn(&["worker", "--quiet"], &[]);
    let pids = ["pid", "child"].map(|file| pid_in(&project, file));
    kill_process(supervisor_of(pids[0]), Signal::STOP).unwrap();
    let limit = Instant::now() + Duration::from_millis(1500);
    until("the time limit has passed", || Instant::now() > limit);

    send(&worker, Signal::TERM);
    worker.wait().unwrap();

    assert!(pids.into_iter().all(has_ended));
}

#[test]
fn processes_of_a_killed_supervisor_are_killed() {
    let project = Project::new();
    project.handler("echo $$ > pid.new; mv pid.new pid; exec sleep 600 > /dev/null 2>&1");
    project.enqueue();
    let worker = project.spawn(&[&ONCE[..], &["--json"]].concat(), &[]);
    let pid = pid_in(&project, "pid");

    kill_process(supervisor_of(pid), Signal::KILL).unwrap();

    let output = worker.wait_with_output().unwrap();
    assert!(has_ended(pid));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the supervisor of the program was lost"));
}

/// Starts a worker without a capability that root has by default.
fn spawn_without(capability: &str, project: &Project, arguments: &[&str]) -> Child {
    let program = env!("CARGO_BIN_EXE_taskseal");
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args([&format!("--bounding-set=-{capability}"), program]);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir(project.dir.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn memory_of_a_supervisor_is_closed_to_its_program() {
    let project = Project::new();
    project.handler("readlink /proc/$PPID/fd/0 > /dev/null && echo readable || echo closed");
    let id = project.enqueue();

    let worker = spawn_without("sys_ptrace", &project, &ONCE);

    assert!(worker.wait_with_output().unwrap().status.success());
    assert_eq!(project.run(&["result", &id]).ok().text(), "closed\n");
}

#[test]
fn process_that_the_worker_may_not_kill_is_reported_and_does_not_hold_the_worker() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can start a process of another user");
        return;
    }
    let project = Project::new();
    project.edit("taskseal.toml", "timeout = \"1m\"", "timeout = \"1s\"");
    project.handler("echo $$ > pid.new; mv pid.new pid; exec setpriv --reuid=65534 --clear-groups sleep 600");
    project.enqueue();

    let worker = spawn_without("kill", &project, &ONCE);
    let pid = pid_in(&project, "pid");
    let output = worker.wait_with_output().unwrap();
    kill_process(pid, Signal::KILL).unwrap();

    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(log.matches("cannot be killed and runs on").count(), 1, "{log}");
}

#[test]
fn process_in_another_session_ends_with_the_time_limit_of_its_task() {
    let project = Project::new();
    project.edit("taskseal.toml", "timeout = \"1m\"", "timeout = \"1s\"");
    project.handler(TWO_SESSIONS);
    project.enqueue();

    let run = project.run(&[&ONCE[..], &["--json"]].concat());

    assert!(has_ended(pid_in(&project, "pid")) && has_ended(pid_in(&project, "child")));
    assert!(run.ok().err.contains("not done within 1 s"));
}

#[test]
fn time_limit_names_a_child_that_holds_the_output_of_a_program_that_has_ended() {
    let project = Project::new();
    project.edit("taskseal.toml", "timeout = \"1m\"", "timeout = \"1s\"");
    project.handler("sleep 600 & echo done");
    project.enqueue();

    let run = project.run(&ONCE);

    let expected =
        "the program ended (exit status: 0), but a process that it started held its output open for 1 s";
    assert!(run.ok().err.contains(expected));
}

#[test]
fn program_is_not_started_with_a_part_of_its_body() {
    let project = Project::new();
    let body = vec![b'x'; 300_000];
    fs::write(project.path("sample.txt"), &body).unwrap();
    project.handler("echo started >> runs; printf '%s ' $TASKSEAL_BODY_LENGTH >> sums; sha256sum >> sums");
    project.enqueue();
    // Killed at some time around the start of the program, several times.
    for delay in 0..12 {
        let mut worker = project.spawn(&["worker", "--quiet"], &[]);
        let deadline = Instant::now() + Duration::from_millis(20 + 5 * delay);
        until("the time to kill", || Instant::now() > deadline);
        send(&worker, Signal::KILL);
        worker.wait().unwrap();
    }
    let expected = format!("300000 {}  -", base16ct::lower::encode_string(&Sha256::digest(&body)));
    let sums = fs::read_to_string(project.path("sums")).unwrap_or_default();
    assert!(sums.lines().all(|line| line == expected), "{sums}");
}

#[test]
fn signals_that_are_sent_by_habit_end_neither_worker_nor_handler() {
    let project = Project::new();
    project.handler("echo $$ > pid.new; mv pid.new pid; until [ -e go ]; do sleep 0.02; done; echo ended");
    let id = project.enqueue();
    let mut worker = project.spawn(&[&ONCE[..], &["--json"]].concat(), &[]);
    let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines().map(Result::unwrap);
    let pid = pid_in(&project, "pid");

    send(&worker, Signal::HUP);
    assert!(lines.any(|line| line.contains("keys-reloaded")));
    for (signal, name) in [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2"), (Signal::ALARM, "SIGALRM")] {
        send(&worker, signal);
        assert!(lines.any(|line| line.contains("signal-ignored") && line.contains(name)));
    }
    assert!(!has_ended(pid));
    fs::write(project.path("go"), "").unwrap();

    assert_eq!(worker.wait().unwrap().code(), Some(0));
    assert_eq!(project.run(&["result", &id]).ok().text(), "ended\n");
}

#[test]
fn handler_that_is_terminated_together_with_its_worker_is_given_back() {
    let project = Project::new();
    project.handler("echo $$ > pid.new; mv pid.new pid; exec sleep 600");
    project.enqueue();
    let worker = project.spawn(&["worker", "--json"], &[]);

    let pid = pid_in(&project, "pid");
    kill_process(pid, Signal::TERM).unwrap();
    send(&worker, Signal::TERM);

    let output = worker.wait_with_output().unwrap();
    let tally: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&tally["given_back"], &tally["retried"], &tally["archived"]),
        (&1.into(), &0.into(), &0.into())
    );
    assert_eq!(project.counts()["pending"], 1);
}

#[test]
fn lines_of_standard_error_are_logged_as_they_come_with_id_and_type() {
    let project = Project::new();
    project.handler("echo first >&2; until [ -e go ]; do sleep 0.02; done; echo last >&2");
    let id = project.enqueue();
    let mut worker = project.spawn(&ONCE, &[]);
    let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines().map(Result::unwrap);

    assert!(lines.any(|line| line.ends_with(&format!("{id} file:digest: first [stderr]"))));
    fs::write(project.path("go"), "").unwrap();
    assert!(lines.any(|line| line.ends_with(&format!("{id} file:digest: last [stderr]"))));
    assert_eq!(worker.wait().unwrap().code(), Some(0));
}

#[test]
fn worker_that_is_process_one_leaves_no_zombies() {
    let unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"];
    if !Command::new(unshare[0]).args(&unshare[1..]).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this machine has no process namespaces");
        return;
    }
    let project = Project::new();
    // The last task counts what the others have left behind.
    project
        .handler("(setsid sleep 0.05 >/dev/null 2>&1 &); [ -e last ] && ps -eo stat= | grep -c '^Z'; exit 0");
    for _ in 0..10 {
        project.enqueue();
    }
    let as_first = |arguments: &[&str]| {
        let mut command = Command::new(unshare[0]);
        command.args(&unshare[1..unshare.len() - 1]).arg(env!("CARGO_BIN_EXE_taskseal")).args(arguments);
        command.current_dir(project.path("."));
        assert!(command.status().unwrap().success());
    };
    as_first(&["worker", "--once", "--quiet"]);
    fs::write(project.path("last"), "").unwrap();
    let id = project.enqueue();
    as_first(&["worker", "--once", "--quiet"]);

    assert_eq!(project.run(&["result", &id]).ok().text(), "0\n");
}
