//! The programs of a configuration as handlers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Failure, Handler, Handlers, OpenedTask, Output, Program, ProgramLimits};
use crate::config::{Config, ProgramSettings};
use crate::file_error::FileError;
use crate::retry::Backoff;

impl Handlers {
    /// Returns the programs of a configuration as handlers.
    ///
    /// # Errors
    /// [`FileError`] if a section `[[handler]]` has no program.
    pub fn of_programs(config: &Config) -> Result<Self, FileError> {
        let mut handlers = Self::default();
        handlers.insert_programs(config)?;
        Ok(handlers)
    }

    /// Returns the task types whose program this host cannot start now, each with the reason.
    #[doc(hidden)]
    #[must_use]
    pub fn missing_programs(config: &Config) -> Vec<(String, io::Error)> {
        let check = |settings: &ProgramSettings| {
            let error = program(settings)?.check().err()?;
            Some((settings.task_type.clone(), error))
        };
        config.programs.iter().filter_map(check).collect()
    }

    /// Adds the programs of a configuration.
    pub(crate) fn insert_programs(&mut self, config: &Config) -> Result<(), FileError> {
        for settings in &config.programs {
            let program = program(settings).ok_or_else(|| {
                FileError::new(&config.file, format!("handler of {}: no program", settings.task_type))
            })?;
            let (limit, backoff) = (settings.timeout, settings.backoff);
            let limited = Limited { handler: program, limit, backoff };
            self.insert(&settings.task_type, Arc::new(limited));
        }
        Ok(())
    }
}

fn program(settings: &ProgramSettings) -> Option<Program> {
    let limits = ProgramLimits { stdout: settings.max_output, ..ProgramLimits::default() };
    let program =
        Program::new(settings.program.clone())?.limits(limits).working_dir(settings.working_dir.clone());
    let program = program.log_stderr(settings.log_stderr);
    let passed = settings.pass_env.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
    let own = settings.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    Some(passed.chain(own).fold(program, |program, (name, value)| program.env(&name, &value)))
}

/// A program with the time limit and the delays of its section.
struct Limited {
    handler: Program,
    limit: Duration,
    backoff: Option<Backoff>,
}

#[async_trait]
impl Handler for Limited {
    async fn run(&self, mut task: OpenedTask) -> Result<Output, Failure> {
        task.timeout = task.timeout.min(self.limit);
        self.handler.run(task).await
    }

    fn backoff(&self) -> Option<Backoff> {
        self.backoff
    }

    fn keeps_time_limit(&self) -> bool {
        self.handler.keeps_time_limit()
    }
}
