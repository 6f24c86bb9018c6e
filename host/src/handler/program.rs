//! Programs as handlers: body on standard input, result on standard output, a clean environment.
//!
//! Exit status 0: the output is the result. 65 (`EX_DATAERR`): the task is archived. Any other status or a signal: the task
//! is retried. Standard error goes to the worker's log, never to the queue.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use taskseal_core::ContentType;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::{Failure, Handler, OpenedTask, Output};
use crate::wiped_buffer::WipedBuffer;

/// A program that runs once for each task.
#[derive(Clone, Debug)]
pub struct Program {
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    working_dir: Option<PathBuf>,
    output_type: String,
    limits: ProgramLimits,
}

/// Limits of what a program may write.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct ProgramLimits {
    /// Maximum size of standard output, in bytes. A task whose program writes more fails.
    pub stdout: usize,
    /// Maximum size of standard error kept for the log, in bytes. The rest is read and dropped.
    pub stderr: usize,
}

impl Default for ProgramLimits {
    fn default() -> Self {
        Self { stdout: 1 << 20, stderr: 4096 }
    }
}

/// Exit status of a program whose task cannot succeed (`EX_DATAERR` of BSD's sysexits.h).
const EXIT_GIVE_UP: i32 = 65;

impl Program {
    /// Creates a handler from a program and its arguments, which are not passed to a shell. Returns `None` if `argv` is empty.
    #[must_use]
    pub fn new(argv: Vec<String>) -> Option<Self> {
        if argv.is_empty() {
            return None;
        }
        let output_type = ContentType::OCTETS.as_str().to_owned();
        let env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
        Some(Self { argv, env, working_dir: None, output_type, limits: ProgramLimits::default() })
    }

    /// Sets an environment variable. The environment contains only these, `PATH` and the `TASKSEAL_` variables.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn working_dir(mut self, dir: PathBuf) -> Self {
        self.working_dir = Some(dir);
        self
    }

    /// Sets the media type of the output. The default is `application/octet-stream`.
    #[must_use]
    pub fn output_type(mut self, content_type: ContentType<'_>) -> Self {
        content_type.as_str().clone_into(&mut self.output_type);
        self
    }

    /// Sets the limits of what it may write.
    #[must_use]
    pub const fn limits(mut self, limits: ProgramLimits) -> Self {
        self.limits = limits;
        self
    }

    fn command(&self, task: &OpenedTask) -> Result<Command, Failure> {
        let (program, arguments) =
            self.argv.split_first().ok_or_else(|| Failure::GiveUp("no program".to_owned()))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.env)
            .env("TASKSEAL_TASK_ID", task.id.to_string())
            .env("TASKSEAL_TASK_TYPE", &task.task_type)
            .env("TASKSEAL_ISSUER", &task.issuer)
            .env("TASKSEAL_QUEUE", task.queue.as_str())
            .env("TASKSEAL_ATTEMPT", task.attempt.to_string())
            .env("TASKSEAL_CONTENT_TYPE", &task.content_type)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A separate process group, so that the children of the program are killed with it.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(dir) = &self.working_dir {
            command.current_dir(dir);
        }
        Ok(command)
    }
}

const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

#[async_trait]
impl Handler for Program {
    async fn run(&self, task: OpenedTask) -> Result<Output, Failure> {
        let mut child = self.command(&task)?.spawn().map_err(|error| {
            let program = self.argv.first().map(String::as_str).unwrap_or_default();
            Failure::TryAgain(format!("cannot start {program}: {error}"))
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut group = ProcessGroup::of(child);
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program may end without reading its input: that alone is not a failure.
                let _ = stdin.write_all(&task.body).await;
                let _ = stdin.shutdown().await;
            }
            Ok(())
        };
        let limits = self.limits;
        let output = async {
            let (kept, complete) = read_limited(stdout, limits.stdout).await;
            let too_long = || Failure::GiveUp(format!("more than {} bytes of output", limits.stdout));
            if complete { Ok(kept) } else { Err(too_long()) }
        };
        let errors = async { Ok(read_to_end(stderr, limits.stderr).await) };
        let status =
            async { group.wait().await.map_err(|error| Failure::TryAgain(format!("cannot wait: {error}"))) };
        // Returns at the first failure: a program that writes too much is killed, not read until its time limit.
        let ((), stdout, stderr, status) = tokio::try_join!(feed, output, errors, status)?;
        // Every process with the pipes open has ended, and the id of the group may be reused: do not kill it.
        group.id = None;
        if !status.success() {
            return Err(failure(status, &String::from_utf8_lossy(&stderr)));
        }
        Ok(Output { content_type: self.output_type.clone(), body: stdout })
    }
}

fn failure(status: ExitStatus, stderr: &str) -> Failure {
    let reason = format!("{status}: {}", stderr.trim_end());
    if status.code() == Some(EXIT_GIVE_UP) { Failure::GiveUp(reason) } else { Failure::TryAgain(reason) }
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

/// Reads to the end and keeps the first `limit` bytes.
async fn read_to_end(source: Option<impl AsyncRead + Unpin>, limit: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut source) = source else { return kept };
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = source.read(&mut chunk).await {
        let taken = read.min(limit - kept.len());
        kept.extend_from_slice(chunk.get(..taken).unwrap_or_default());
    }
    kept
}

/// A program and its process group. Kills them when it is dropped before they have ended: at the time limit, or when the
/// lease is lost.
struct ProcessGroup {
    /// Taken on drop.
    child: Option<Child>,
    /// `None` once the program has ended and closed its output.
    id: Option<Pid>,
}

impl ProcessGroup {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { child: Some(child), id }
    }

    async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.as_mut().expect("the child is taken on drop only").wait().await
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let (Some(id), Some(mut child)) = (self.id, self.child.take()) else { return };
        // An error means that no process is left.
        let _ = kill_process_group(id, Signal::KILL);
        // The program itself may have left its group.
        let _ = child.start_kill();
        // A child that is dropped without a wait makes tokio handle SIGCHLD from then on, for every child, on any thread.
        // The kernel would save the registers on the stack of that thread, and with them parts of a body.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { child.wait().await });
        }
    }
}
