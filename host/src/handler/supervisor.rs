//! The supervisor: the process between a worker and the program of one attempt. It ends the program, and everything that the
//! program has started, as soon as the worker has ended, however that came about.
//!
//! It is this executable, started again by the worker. Its standard input is a socket, over which the worker sends the body
//! and receives how the program ended. The kernel closes the worker's end of the socket when the worker ends.

mod descendants;
mod protocol;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{self, Child, Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;
use std::{env, sync::Arc};

use rustix::process::{
    DumpableBehavior, WaitOptions, getpid, set_child_subreaper, set_dumpable_behavior, wait,
};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

pub(crate) use self::descendants::{is_running, kill_below};
pub(super) use self::protocol::LEFT_BEHIND;
pub(crate) use self::protocol::{Report, header};
use super::body_file::BodyFile;
use crate::runtime::spawn_thread;

/// The first argument of a supervisor.
pub(crate) const ARGUMENT: &str = "__taskseal-supervise";

/// The executable of a process that has called [`supervise`]; it stays the same if the file is replaced.
pub(crate) const EXECUTABLE: &str = "/proc/self/exe";

static ENABLED: OnceLock<()> = OnceLock::new();

/// Lets [`Program`](super::Program) handlers of this process end with it, whatever ends the process: a signal that cannot be
/// handled, a crash, or the kernel when memory is exhausted. Without it, programs whose worker is killed run on, beside the next
/// attempt.
///
/// Call it first in `main`. Programs are then started by a second process of the same executable, the supervisor. In that
/// process this function supervises the program and returns the exit code that `main` must return at once.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     if let Some(code) = taskseal::handler::supervise() {
///         return code;
///     }
///     // The application.
///     ExitCode::SUCCESS
/// }
/// ```
#[must_use]
pub fn supervise() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == ARGUMENT) {
        return Some(match run(arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(LEFT_BEHIND),
            Err(_) => ExitCode::FAILURE,
        });
    }
    ENABLED.get_or_init(|| ());
    None
}

/// Returns whether this process can start supervisors.
pub(crate) fn is_enabled() -> bool {
    ENABLED.get().is_some()
}

/// Supervises one program until nothing is left of it. Returns false if a process of it cannot be ended.
fn run(mut arguments: impl Iterator<Item = OsString>) -> io::Result<bool> {
    // The body must stay out of core files, and out of reach of other processes of the same user. The program gets other memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    survive_signals()?;
    set_child_subreaper(Some(getpid()))?;
    let mut worker = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut length = [0; 8];
    worker.read_exact(&mut length)?;
    let body = BodyFile::read_from(&mut worker, u64::from_le_bytes(length))?;
    let program = arguments.next().unwrap_or_default();
    let child = match Command::new(program).args(arguments).stdin(Stdio::from(body.reader()?)).spawn() {
        Ok(child) => child,
        Err(error) => {
            return worker.write_all(&Report::not_started(&error).to_bytes()).map(|()| true);
        }
    };
    let watched = worker.try_clone().and_then(kill_after_end_of).and_then(|()| wait_for(&child));
    let report = match watched {
        Ok(report) => report,
        Err(error) => {
            // Without a watch of the worker nothing must run.
            descendants::kill_all();
            return Err(error);
        }
    };
    // The worker may have ended.
    let _ = worker.write_all(&report.to_bytes());
    wait_for_output();
    Ok(descendants::kill_all())
}

/// Keeps this process alive when a signal is sent to all processes of a service: the worker decides when its programs end.
fn survive_signals() -> io::Result<()> {
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM] {
        // Unlike an ignored signal, a handled one has its default effect in the program.
        signal_hook::flag::register(signal, Arc::clone(&ignored))?;
    }
    Ok(())
}

/// Starts a thread that kills everything once the worker has closed its end of the socket. If it cannot, it ends this process,
/// which would otherwise wait for what is left.
fn kill_after_end_of(mut worker: UnixStream) -> io::Result<()> {
    spawn_thread("taskseal-end", move || {
        let mut byte = [0];
        while matches!(worker.read(&mut byte), Err(error) if error.kind() == io::ErrorKind::Interrupted) {}
        if !descendants::kill_all() {
            process::exit(LEFT_BEHIND.into());
        }
    })?;
    Ok(())
}

/// Waits until the program has ended. Other processes that end meanwhile were started by it and left behind.
fn wait_for(program: &Child) -> io::Result<Report> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get().unsigned_abs() == program.id() => {
                return Ok(Report::of(status));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Delay between searches for processes that hold the output open.
const OUTPUT_CHECK: Duration = Duration::from_millis(20);

/// Waits until no process that the program has left behind can write to its output: a shell may end before the commands that it
/// has started in the background.
fn wait_for_output() {
    while descendants::hold_output() {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        thread::sleep(OUTPUT_CHECK);
    }
}
