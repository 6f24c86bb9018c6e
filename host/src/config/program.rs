//! The programs that run tasks: the sections `[[handler]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::context::Context;
use super::value::{self, HOUR, Name, Seconds, Size, WEEK, YEAR};
use crate::file_error::FileError;
use crate::keys::relative_to;
use crate::retry::Backoff;
use crate::toml_file::Spanned;
use crate::worker::WorkerSettings;

/// A program that runs the tasks of a type: it gets the body on its standard input and writes the result to its standard
/// output.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProgramSettings {
    /// The task type, or a prefix of task types followed by `*`.
    pub task_type: String,
    /// Program and arguments, without a shell. A program with a `/` in its name is an absolute path; one without is
    /// looked up in `PATH`.
    pub program: Vec<String>,
    /// Time limit of one attempt, if that of the task is not shorter. 5 minutes by default.
    pub timeout: Duration,
    /// Delays between attempts. `None` stands for those of the worker.
    pub backoff: Option<Backoff>,
    /// Environment variables of the program.
    pub env: BTreeMap<String, String>,
    /// Names of environment variables of the worker that the program gets as well.
    pub pass_env: Vec<String>,
    /// Working directory. The folder of the configuration file by default.
    pub working_dir: PathBuf,
    /// Maximum size of its output, in bytes. 1 MiB by default.
    pub max_output: usize,
    /// Whether its standard error is logged line by line.
    pub log_stderr: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HandlerSection {
    r#type: Spanned<Name<128, true>>,
    program: Spanned<Vec<String>>,
    timeout: Option<Spanned<Seconds<1, YEAR>>>,
    retry_first: Option<Seconds<1, HOUR>>,
    retry_longest: Option<Spanned<Seconds<1, WEEK>>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    pass_env: Vec<Spanned<String>>,
    working_dir: Option<String>,
    max_output: Option<Size<1, { taskseal_core::MAX_BODY as u64 }>>,
    #[serde(default)]
    stderr: StderrMode,
}

/// What happens to the standard error of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StderrMode {
    /// Each line is logged.
    #[default]
    Log,
    /// Only the reason of a failure quotes it.
    Drop,
}

impl ProgramSettings {
    /// Checks the sections, that no type has two programs, that no time limit is longer than the worker's, and that no program
    /// gets one of the environment variables `secrets`.
    pub(super) fn check_all(
        sections: Vec<HandlerSection>,
        context: &Context<'_>,
        worker: Option<&WorkerSettings>,
        secrets: &BTreeSet<String>,
    ) -> Result<Vec<Self>, FileError> {
        let backoff = worker.map_or_else(Backoff::default, |worker| worker.backoff);
        let mut checked: Vec<Self> = Vec::new();
        for section in sections {
            let task_type = &section.r#type;
            if checked.iter().any(|other| other.task_type == task_type.get_ref().0) {
                let message = format!("duplicate task type `{}`", task_type.get_ref().0);
                return Err(context.fault(task_type, message, "remove one of the two handlers"));
            }
            section.check_timeout(context, worker.map(|worker| worker.max_timeout))?;
            if let Some(name) = section.pass_env.iter().find(|name| secrets.contains(name.get_ref())) {
                let message = format!("`{}` contains a secret of this host", name.get_ref());
                return Err(context.fault(name, message, "remove it: a program must not get it"));
            }
            checked.push(section.check(context, backoff)?);
        }
        Ok(checked)
    }
}

impl HandlerSection {
    fn check_timeout(&self, context: &Context<'_>, max_timeout: Option<Duration>) -> Result<(), FileError> {
        let (Some(timeout), Some(max_timeout)) = (&self.timeout, max_timeout) else { return Ok(()) };
        if Duration::from(*timeout.get_ref()) <= max_timeout {
            return Ok(());
        }
        let message = format!("longer than the worker's limit of {} s", max_timeout.as_secs());
        Err(context.fault(timeout, message, "raise `max_timeout` in [worker], or shorten `timeout`"))
    }

    /// Checks a section. `backoff` is that of the worker.
    fn check(self, context: &Context<'_>, backoff: Backoff) -> Result<ProgramSettings, FileError> {
        let task_type = self.r#type.get_ref().0.clone();
        if task_type.strip_suffix('*').unwrap_or(&task_type).contains('*') {
            let message = format!("`{task_type}` is not a task type");
            return Err(context.fault(&self.r#type, message, "`*` is allowed at the end only"));
        }
        let has_backoff = self.retry_first.is_some() || self.retry_longest.is_some();
        let backoff = value::backoff(context, "retry", backoff, self.retry_first, self.retry_longest)?;
        Ok(ProgramSettings {
            backoff: has_backoff.then_some(backoff),
            program: command(&self.program, context)?,
            task_type,
            timeout: self.timeout.map_or(Duration::from_secs(5 * 60), |timeout| timeout.into_inner().into()),
            env: self.env,
            pass_env: self.pass_env.into_iter().map(Spanned::into_inner).collect(),
            working_dir: absolute(&relative_to(context.file, self.working_dir.as_deref().unwrap_or("."))),
            max_output: self.max_output.map_or(1 << 20, usize::from),
            log_stderr: self.stderr == StderrMode::Log,
        })
    }
}

/// Returns program and arguments, the path of the program made absolute.
fn command(program: &Spanned<Vec<String>>, context: &Context<'_>) -> Result<Vec<String>, FileError> {
    let mut command = program.get_ref().clone();
    match command.first_mut() {
        Some(path) if path.contains('/') => {
            let full = absolute(&relative_to(context.file, path)).into_os_string();
            *path = full.into_string().map_err(|_| {
                let message = "the path of this program is not UTF-8";
                context.fault(program, message, "move this file to a folder with a UTF-8 path")
            })?;
        }
        Some(path) if !path.is_empty() => {}
        _ => {
            let hint = "write a list of program and arguments: [\"./handlers/resize\", \"--fast\"]";
            return Err(context.fault(program, "no program", hint));
        }
    }
    Ok(command)
}

/// A program may run in another folder than the worker, where a relative path would mean another file.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
