//! Programs as handlers: body on standard input, result on standard output, a clean environment.
//!
//! Exit status 0: the output is the result. 65 (`EX_DATAERR`): the task is archived. Any other status or a signal: the task
//! is retried. Standard error goes to the worker's log, never to the queue.

mod executable;
mod process;
mod stderr;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use async_trait::async_trait;
use rustix::io::Errno;
use taskseal_core::ContentType;
use tokio::process::Command;

pub(crate) use self::executable::check as check_executable;
use self::process::Process;
use self::stderr::Stderr;
use super::supervisor::{self, Report};
use super::{Failure, Handler, OpenedTask, Output};

/// A program that runs once for each task.
#[derive(Clone, Debug)]
pub struct Program {
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    working_dir: Option<PathBuf>,
    output_type: String,
    limits: ProgramLimits,
    logs_stderr: bool,
}

/// Limits of what a program may write.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct ProgramLimits {
    /// Maximum size of standard output, in bytes. A task whose program writes more fails.
    pub stdout: usize,
    /// Maximum size of the end of standard error that becomes part of the reason of a failure, in bytes.
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
        let (env, limits) = (BTreeMap::new(), ProgramLimits::default());
        let program = Self { argv, env, working_dir: None, output_type, limits, logs_stderr: true };
        Some(program.env("PATH", DEFAULT_PATH))
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

    /// Sets whether the lines that it writes to standard error are logged as they come. They are by default.
    #[must_use]
    pub const fn log_stderr(mut self, log: bool) -> Self {
        self.logs_stderr = log;
        self
    }

    /// Sets the limits of what it may write.
    #[must_use]
    pub const fn limits(mut self, limits: ProgramLimits) -> Self {
        self.limits = limits;
        self
    }

    fn command(&self, task: &OpenedTask) -> Command {
        let mut command = if supervisor::is_enabled() {
            let mut command = Command::new(supervisor::EXECUTABLE);
            command.arg0("taskseal-supervisor").arg(supervisor::ARGUMENT).args(&self.argv);
            command
        } else {
            let (program, arguments) = self.argv.split_first().expect("a program has a name");
            let mut command = Command::new(program);
            command.args(arguments);
            command
        };
        command
            .env_clear()
            .envs(&self.env)
            .env("TASKSEAL_TASK_ID", task.id.to_string())
            .env("TASKSEAL_TASK_TYPE", &task.task_type)
            .env("TASKSEAL_ISSUER", &task.issuer)
            .env("TASKSEAL_SEALED_BY", task.sealed_by.map(|kid| kid.to_string()).unwrap_or_default())
            .env("TASKSEAL_QUEUE", task.queue.as_str())
            .env("TASKSEAL_ATTEMPT", task.attempt.to_string())
            .env("TASKSEAL_CONTENT_TYPE", &task.content_type)
            .env("TASKSEAL_BODY_LENGTH", task.body.len().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A separate process group, so that the children of the program are killed with it, and a signal from the
            // terminal reaches the worker only.
            .process_group(0);
        if let Some(dir) = &self.working_dir {
            command.current_dir(dir);
        }
        command
    }

    /// Checks that the program exists and may be executed, and that its interpreter and its working directory exist.
    ///
    /// # Errors
    /// The error of the operating system that a start would have.
    pub(super) fn check(&self) -> io::Result<()> {
        if let Some(dir) = &self.working_dir
            && !std::fs::metadata(dir)?.is_dir()
        {
            return Err(Errno::NOTDIR.into());
        }
        let name = Path::new(self.name());
        if name.components().count() > 1 {
            return executable::check(name);
        }
        let folders = self.env.get("PATH").into_iter().flat_map(std::env::split_paths);
        let found = folders.map(|folder| executable::check(&folder.join(name))).find(Result::is_ok);
        found.unwrap_or_else(|| Err(Errno::NOENT.into()))
    }

    fn name(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    fn not_started(&self, error: &io::Error) -> Failure {
        Failure::NotStarted(format!("cannot start {}: {error}", self.name()))
    }
}

const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

#[async_trait]
impl Handler for Program {
    async fn run(&self, task: OpenedTask) -> Result<Output, Failure> {
        let mut process = match Process::start(self.command(&task), &task) {
            Ok(process) => process,
            Err(error) => return Err(self.not_started(&error)),
        };
        let stderr = Stderr::new(&task, self.limits.stderr, self.logs_stderr);
        let done =
            tokio::time::timeout(task.timeout, process.complete(&task.body, self.limits.stdout, &stderr));
        match done.await {
            Ok(Ok((report, body))) => {
                self.judge(report, &stderr)?;
                Ok(Output { content_type: self.output_type.clone(), body })
            }
            Ok(Err(failure)) => {
                process.kill().await;
                Err(failure)
            }
            Err(_) => {
                let why = process.overrun(task.timeout);
                process.kill().await;
                Err(Failure::TryAgain(stderr.after(&why)))
            }
        }
    }

    fn keeps_time_limit(&self) -> bool {
        true
    }
}

impl Program {
    /// Returns the failure of a program that ended as `report` states.
    fn judge(&self, report: Report, stderr: &Stderr) -> Result<(), Failure> {
        Err(match report {
            Report::Exited(0) => return Ok(()),
            Report::Exited(EXIT_GIVE_UP) => Failure::GiveUp(stderr.after(&report.to_string())),
            Report::Exited(_) => Failure::TryAgain(stderr.after(&report.to_string())),
            Report::Signaled(signal) if ENDS_SERVICE.contains(&signal) => {
                Failure::Terminated(stderr.after(&report.to_string()))
            }
            Report::Signaled(_) => Failure::TryAgain(stderr.after(&report.to_string())),
            Report::NotStarted(error) => self.not_started(&Errno::from_raw_os_error(error).into()),
        })
    }
}

/// Signals that are sent to all processes of a service or of a terminal when it ends: SIGHUP, SIGINT, SIGTERM.
const ENDS_SERVICE: [i32; 3] = [1, 2, 15];
