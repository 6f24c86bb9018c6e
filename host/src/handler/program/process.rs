//! One running program, under a supervisor or, in a process that has none, as a direct child.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::stderr::Stderr;
use crate::handler::body_file::BodyFile;
use crate::handler::run_guard::RunGuard;
use crate::handler::supervisor::{self, LEFT_BEHIND, Report, header};
use crate::handler::{Failure, OpenedTask};
use crate::runtime::boxed;
use crate::telemetry::WORKER_TARGET;
use crate::wiped_buffer::WipedBuffer;

/// A program and everything it has started. They are killed when this is dropped before they have ended: at the time limit,
/// when the lock is lost, or when the drain is over.
pub(super) struct Process {
    /// The supervisor, or the program itself. Taken on drop.
    child: Option<Child>,
    /// Its process group. `None` once everything has ended.
    group: Option<Pid>,
    /// The connection to the supervisor, which kills everything when it is closed.
    supervisor: Option<UnixStream>,
    report: Option<Report>,
    /// The body of a program without a supervisor.
    _body: Option<BodyFile>,
    guard: Option<RunGuard>,
    /// Id and type of the task, for the log.
    task: [String; 2],
}

/// How long a supervisor may take to kill everything before its process group is killed.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Delay between looks at processes that the worker has killed itself.
const END_CHECK: Duration = Duration::from_millis(20);

impl Process {
    /// Starts `command`, which names a supervisor if this process can start one.
    pub(super) fn start(mut command: Command, task: &OpenedTask) -> io::Result<Self> {
        let (supervisor, body) = if supervisor::is_enabled() {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            command.stdin(Stdio::from(OwnedFd::from(theirs)));
            (Some(UnixStream::from_std(ours)?), None)
        } else {
            let body = BodyFile::of(&task.body)?;
            command.stdin(Stdio::from(body.reader()?));
            (None, Some(body))
        };
        let child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let guard = RunGuard::of_current_run();
        let task = [task.id.to_string(), task.task_type.clone()];
        Ok(Self { child: Some(child), group, supervisor, report: None, _body: body, guard, task })
    }

    /// Runs the program to its end. Returns how it ended, and its output.
    ///
    /// # Errors
    /// [`Failure`] if it wrote more than `max_output` bytes. It has not ended then.
    pub(super) async fn complete(
        &mut self,
        body: &[u8],
        max_output: usize,
        stderr: &Stderr,
    ) -> Result<(Report, Zeroizing<Vec<u8>>), Failure> {
        let Self { child, supervisor, report, task, .. } = self;
        let supervised_group = self.group.filter(|_| supervisor.is_some());
        let child = child.as_mut().expect("the child is taken on drop only");
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let exchange = async {
            if let Some(supervisor) = supervisor {
                *report = exchange(supervisor, body).await;
            }
            Ok(())
        };
        let output = async {
            let (kept, complete) = read_limited(output, max_output).await;
            let too_long = || Failure::GiveUp(format!("more than {max_output} bytes of output"));
            if complete { Ok(kept) } else { Err(too_long()) }
        };
        let errors = async {
            stderr.read(errors).await;
            Ok(())
        };
        let status = async {
            let status = child.wait().await;
            let status = status.map_err(|error| Failure::TryAgain(format!("cannot wait: {error}")))?;
            if let Some(group) = supervised_group.filter(|_| !status.success()) {
                report_left_behind(status, task);
                // At once, before another process can get the id of the group.
                let _ = kill_process_group(group, Signal::KILL);
            }
            Ok(status)
        };
        // Returns at the first failure: a program that writes too much is killed, not read until its time limit.
        let ((), output, (), status) = tokio::try_join!(exchange, output, errors, status)?;
        // Every process with the pipes open has ended, and the id of the group may be reused: do not kill it.
        self.group = None;
        if self.supervisor.is_none() {
            self.report = Some(Report::of_child(status));
        }
        let lost = || Failure::TryAgain(format!("the supervisor of the program was lost: {status}"));
        Ok((self.report.ok_or_else(lost)?, output))
    }

    /// Describes a program that has exceeded its time limit.
    pub(super) fn overrun(&self, limit: Duration) -> String {
        let limit = limit.as_secs();
        match self.report {
            Some(report) => {
                format!(
                    "the program ended ({report}), but a process that it started held its output open for {limit} s"
                )
            }
            None => format!("not done within {limit} s"),
        }
    }

    /// Kills everything and waits until it has ended.
    pub(super) async fn kill(mut self) {
        if let Some(killing) = self.start_to_kill() {
            let _ = killing.await;
        }
    }

    /// Starts to kill everything, unless it has ended. An async task does so and keeps the guard: the wait for it may be
    /// cancelled, and the processes still live then.
    fn start_to_kill(&mut self) -> Option<JoinHandle<()>> {
        let (group, child) = (self.group.take()?, self.child.take()?);
        let (supervisor, guard) = (self.supervisor.take(), self.guard.take());
        let task = std::mem::take(&mut self.task);
        if supervisor.is_none() {
            // The runtime may be ending, and would not poll the task below.
            let _ = kill_process_group(group, Signal::KILL);
        }
        // A child that is dropped without a wait makes tokio handle SIGCHLD from then on, for every child, on any thread.
        // The kernel would save the registers on the stack of that thread, and with them parts of a body.
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn(boxed(async move {
            kill(child, group, supervisor, &task).await;
            drop(guard);
        })))
    }
}

/// Sends the body to the supervisor, and receives how the program ended.
async fn exchange(supervisor: &mut UnixStream, body: &[u8]) -> Option<Report> {
    supervisor.write_all(&header(body.len())).await.ok()?;
    supervisor.write_all(body).await.ok()?;
    let mut report = [0; Report::LEN];
    supervisor.read_exact(&mut report).await.ok()?;
    Report::from_bytes(report)
}

async fn kill(mut child: Child, group: Pid, supervisor: Option<UnixStream>, task: &[String; 2]) {
    let is_supervised = supervisor.is_some();
    let mut below = Vec::new();
    drop(supervisor);
    if is_supervised {
        match timeout(KILL_LIMIT, child.wait()).await {
            Ok(Ok(status)) if status.success() => return,
            Ok(Ok(status)) => report_left_behind(status, task),
            // A supervisor that does not run has left its program alone. The leader of the group has the same id.
            _ => below = supervisor::kill_below(group),
        }
    }
    // An error means that no process is left. A supervisor that was killed has left its program behind.
    let _ = kill_process_group(group, Signal::KILL);
    // The program itself may have left its group.
    let _ = child.start_kill();
    let _ = child.wait().await;
    if run_on(&below).await {
        report_processes_left(task);
    }
}

/// Returns whether one of these processes, which were killed, has not ended after [`KILL_LIMIT`].
async fn run_on(killed: &[Pid]) -> bool {
    let all_ended = async {
        while killed.iter().copied().any(supervisor::is_running) {
            sleep(END_CHECK).await;
        }
    };
    timeout(KILL_LIMIT, all_ended).await.is_err()
}

/// Warns if the supervisor could not end every process.
fn report_left_behind(status: ExitStatus, task: &[String; 2]) {
    if status.code() == Some(LEFT_BEHIND.into()) {
        report_processes_left(task);
    }
}

fn report_processes_left([id, task_type]: &[String; 2]) {
    tracing::warn!(
        target: WORKER_TARGET, event = "processes-left", id, task_type,
        "{id} {task_type}: a process of the handler cannot be killed and runs on; the worker may kill those of its user only"
    );
}

impl Drop for Process {
    fn drop(&mut self) {
        // The async task goes on without its handle.
        drop(self.start_to_kill());
    }
}

impl Report {
    fn of_child(status: ExitStatus) -> Self {
        match status.code() {
            Some(status) => Self::Exited(status),
            None => Self::Signaled(status.signal().unwrap_or_default()),
        }
    }
}

/// Reads up to `limit` bytes. Returns them, and whether they are all.
async fn read_limited(source: Option<impl AsyncRead + Unpin>, limit: usize) -> (Zeroizing<Vec<u8>>, bool) {
    let mut kept = WipedBuffer::with_capacity(limit.min(1 << 16));
    let Some(mut source) = source else { return (kept.into_bytes(), true) };
    let mut chunk = Zeroizing::new([0; 8192]);
    loop {
        match source.read(&mut chunk[..]).await {
            Ok(0) | Err(_) => return (kept.into_bytes(), true),
            Ok(read) if read > limit - kept.as_bytes().len() => return (kept.into_bytes(), false),
            Ok(read) => kept.extend(chunk.get(..read).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn killed_process_that_has_not_ended_within_the_limit_runs_on() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        // As one that cannot be killed.
        assert!(run_on(&[pid]).await);

        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!run_on(&[pid]).await);
    }
}
