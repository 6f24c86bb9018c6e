//! One run of the program of a key command: its output within limits of time and length, or why there is none.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use zeroize::Zeroizing;

use super::KeyCommand;
use crate::handler::supervisor::{self, Report, header, is_running, kill_below};
use crate::lock::lock;
use crate::runtime::spawn_thread;
use crate::wiped_buffer::WipedBuffer;

/// Maximum length of standard output, in bytes.
pub(super) const MAX_OUTPUT: usize = 64 << 10;

/// Maximum length of the end of standard error that an error quotes, in bytes.
const MAX_STDERR: usize = 1024;

const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How long a supervisor may take to kill everything before its process group is killed.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Delay between looks at a program that has closed its output and runs on.
const END_CHECK: Duration = Duration::from_millis(5);

/// Why a run has no output.
#[derive(Debug)]
pub(super) enum ProcessFault {
    NotStarted(io::Error),
    /// The time limit was reached. The end of standard error.
    Overrun(Vec<u8>),
    /// More than [`MAX_OUTPUT`] bytes were written.
    TooLong,
    /// The program ended with another status than 0.
    Failed {
        /// Its exit status; `None` after a signal.
        status: Option<i32>,
        description: String,
        /// The end of standard error.
        stderr: Vec<u8>,
    },
}

/// Runs a program to its end. Whatever it has started is killed if it does not end in time.
pub(super) fn run(command: &KeyCommand) -> Result<Zeroizing<Vec<u8>>, ProcessFault> {
    let deadline = Instant::now() + command.timeout;
    let mut process = Process::start(command).map_err(ProcessFault::NotStarted)?;
    let output = wait(&process.output, deadline);
    let errors = |process: &Process, deadline| process.errors.read(deadline);
    let Ok(output) = output else {
        process.kill();
        return Err(ProcessFault::Overrun(errors(&process, Instant::now() + KILL_LIMIT)));
    };
    let output = output.ok_or(ProcessFault::TooLong)?;
    let Some(report) = process.end(deadline).map_err(ProcessFault::NotStarted)? else {
        process.kill();
        return Err(ProcessFault::Overrun(errors(&process, Instant::now() + KILL_LIMIT)));
    };
    match report {
        Report::Exited(0) => Ok(output),
        Report::NotStarted(error) => Err(ProcessFault::NotStarted(io::Error::from_raw_os_error(error))),
        Report::Exited(status) => Err(ProcessFault::Failed {
            status: Some(status),
            description: report.to_string(),
            stderr: errors(&process, deadline),
        }),
        Report::Signaled(_) => Err(ProcessFault::Failed {
            status: None,
            description: report.to_string(),
            stderr: errors(&process, deadline),
        }),
    }
}

/// A program and everything it has started. They are killed on drop, unless they have ended.
struct Process {
    child: Child,
    /// The connection to the supervisor, which kills everything when it is closed.
    supervisor: Option<UnixStream>,
    /// The whole output; `None` if it was too long.
    output: Receiver<Option<Zeroizing<Vec<u8>>>>,
    errors: Errors,
    has_ended: bool,
}

/// The end of standard error, as far as it was read.
struct Errors {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Closed at the end of the pipe.
    end: Receiver<()>,
}

impl Errors {
    /// Waits for the end of the pipe. Returns what was read until then or until `deadline`: another process may hold the pipe open.
    fn read(&self, deadline: Instant) -> Vec<u8> {
        let _ = wait(&self.end, deadline);
        lock(&self.kept).clone()
    }
}

impl Process {
    fn start(settings: &KeyCommand) -> io::Result<Self> {
        let mut command = command(settings);
        let supervisor = if supervisor::is_enabled() {
            let (mut ours, theirs) = UnixStream::pair()?;
            // The program gets an empty standard input.
            ours.write_all(&header(0))?;
            command.stdin(Stdio::from(OwnedFd::from(theirs)));
            Some(ours)
        } else {
            command.stdin(Stdio::null());
            None
        };
        let mut child = command.spawn()?;
        // The command keeps its end of the socket open, and with it a supervisor would outlive this process.
        drop(command);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ((give_output, output), (at_end, end)) = (sync_channel(1), sync_channel(1));
        let kept = Arc::default();
        let errors = Errors { kept: Arc::clone(&kept), end };
        let process = Self { child, supervisor, output, errors, has_ended: false };
        // A reader is left behind if another process holds the pipe open after everything was killed.
        spawn_thread("taskseal-exec", move || drop(give_output.send(read_all(stdout))))?;
        spawn_thread("taskseal-exec", move || {
            read_end(stderr, &kept);
            drop(at_end);
        })?;
        Ok(process)
    }

    /// Waits until the program has ended. Returns `None` if it has not at `deadline`.
    fn end(&mut self, deadline: Instant) -> io::Result<Option<Report>> {
        let mut report = None;
        if let Some(supervisor) = &mut self.supervisor {
            let mut bytes = [0; Report::LEN];
            supervisor.set_read_timeout(Some(remaining(deadline)))?;
            match supervisor.read_exact(&mut bytes) {
                Ok(()) => report = Report::from_bytes(bytes),
                Err(_) => return Ok(None),
            }
        }
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                self.has_ended = true;
                let of_child = status
                    .code()
                    .map_or_else(|| Report::Signaled(status.signal().unwrap_or_default()), Report::Exited);
                return Ok(Some(report.unwrap_or(of_child)));
            }
            thread::sleep(END_CHECK);
        }
        Ok(None)
    }

    /// Kills the program and what it has started, and waits until they have ended.
    fn kill(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        if self.supervisor.take().is_some() && self.ends_within(KILL_LIMIT) {
            return;
        }
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        let below = kill_below(group);
        // An error means that no process of the group is left.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        let deadline = Instant::now() + KILL_LIMIT;
        while Instant::now() < deadline && below.iter().copied().any(is_running) {
            thread::sleep(END_CHECK);
        }
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return true;
            }
            thread::sleep(END_CHECK);
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(settings: &KeyCommand) -> Command {
    let mut command;
    if supervisor::is_enabled() {
        command = Command::new(supervisor::EXECUTABLE);
        command.arg0("taskseal-supervisor").arg(supervisor::ARGUMENT).args(&settings.program);
    } else {
        let (program, arguments) = settings.program.split_first().expect("a key command has a program");
        command = Command::new(program);
        command.args(arguments);
    }
    let passed = settings.pass_env.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .envs(passed)
        .envs(&settings.env)
        .current_dir(&settings.working_dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A separate process group, so that the children of the program are killed with it.
        .process_group(0);
    command
}

/// Receives what a reader returns at the end of its pipe.
fn wait<T>(from: &Receiver<T>, deadline: Instant) -> Result<T, RecvTimeoutError> {
    from.recv_timeout(remaining(deadline))
}

/// Returns the time left, at least a millisecond: a socket has no timeout of zero.
fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Returns everything; `None` as soon as it is longer than [`MAX_OUTPUT`].
fn read_all(source: Option<impl Read>) -> Option<Zeroizing<Vec<u8>>> {
    let mut kept = WipedBuffer::with_capacity(MAX_OUTPUT + 1);
    if let Some(source) = source {
        // Ends at an error, which a pipe has at its end only.
        let _ = kept.read_from(&mut source.take(MAX_OUTPUT as u64 + 1), MAX_OUTPUT + 1);
    }
    (kept.as_bytes().len() <= MAX_OUTPUT).then(|| kept.into_bytes())
}

/// Reads to the end, and keeps the last [`MAX_STDERR`] bytes.
fn read_end(source: Option<impl Read>, kept: &Mutex<Vec<u8>>) {
    let Some(mut source) = source else { return };
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = source.read(&mut chunk) {
        let mut kept = lock(kept);
        kept.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let excess = kept.len().saturating_sub(MAX_STDERR);
        kept.drain(..excess);
    }
}
