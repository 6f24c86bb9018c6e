//! Another process that runs one test of the calling program: to be killed, measured or given an environment.

use std::env;
use std::process::Command;

/// Returns the command that runs the test `name` in a new process. [`test_path!`](crate::test_path) gives the name.
///
/// The test may be an ignored one. It finds what it needs in the environment that the caller adds.
///
/// # Panics
/// If the path of the calling program is unknown.
#[must_use]
pub fn rerun(name: &str) -> Command {
    // The name of the crate is part of the path in the source, but not of the name of the test.
    let (_, name) = name.split_once("::").expect("a path that begins with the crate");
    let mut command = Command::new(env::current_exe().expect("a running program has a path"));
    command.args(["--exact", name, "--nocapture", "--include-ignored", "--test-threads=1"]);
    command
}

/// The path of a test in the module that calls it, with the name of the crate.
#[macro_export]
macro_rules! test_path {
    ($name:ident) => {
        concat!(module_path!(), "::", stringify!($name))
    };
}
