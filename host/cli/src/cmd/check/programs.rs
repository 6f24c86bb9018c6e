//! Checks that the programs of the handlers can be started, without starting them.

use taskseal::config::Config;
use taskseal::handler::Handlers;

use super::Finding;
use crate::failure::Failure;

const CHECK: &str = "program";

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    if config.worker.is_none() {
        return vec![Finding::skip(CHECK, "no [worker] section: this host runs no tasks")];
    }
    if config.programs.is_empty() {
        let failure = Failure::usage("no [[handler]] section: the worker cannot run any task");
        return vec![Finding::fail(CHECK, failure.hint("add one with `type` and `program`"))];
    }
    let missing = Handlers::missing_programs(config);
    let program = |task_type: &String| {
        let found = missing.iter().find(|(missing, _)| missing == task_type);
        Finding::of(
            CHECK,
            match found {
                None => Ok(format!("for tasks of type {task_type}: can be started")),
                Some((_, error)) => {
                    let message = format!("for tasks of type {task_type}: cannot be started: {error}");
                    Err(Failure::new(message).hint(HINT))
                }
            },
        )
    };
    config.programs.iter().map(|settings| program(&settings.task_type)).collect()
}

const HINT: &str = "correct `program` or `working_dir` in its [[handler]] section, or make the file executable: chmod +x FILE";
