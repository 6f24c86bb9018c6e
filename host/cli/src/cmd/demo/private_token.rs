//! A private token for the demonstration: SoftHSM in a temporary folder.
//!
//! SoftHSM reads the location of its tokens from the environment when it is loaded, and a program cannot safely change
//! its own environment. So the demonstration runs as a child process with its own environment.

use std::process::Command;

use taskseal_hsm::{Module, Pin, PinSource, TokenUri, softhsm};

use crate::failure::Failure;
use crate::key_summary::token_failure;

/// Set in the environment of the child, which initialises the token.
const CHILD: &str = "TASKSEAL_DEMO_TOKEN";
/// Holds the PIN of the token in the environment of the child.
const PIN: &str = "TASKSEAL_DEMO_PIN";
const LABEL: &str = "taskseal-demo";

/// Whether this process is the child.
pub(super) enum Process {
    /// The child, with an empty token.
    Child(TokenUri),
    /// The parent, with the result of the child.
    Parent(Result<(), Failure>),
}

/// Runs the demonstration in a child process, or prepares the token if this is the child.
pub(super) fn enter() -> Result<Process, Failure> {
    let Some(library) = softhsm::find_library() else {
        return Err(Failure::unavailable("SoftHSM is not installed")
            .hint("install it (Debian: softhsm2), or omit --hsm"));
    };
    if std::env::var_os(CHILD).is_none() {
        return run_child().map(Process::Parent);
    }
    let failed = |error| token_failure(&error, "the token of the demonstration");
    let pin = Pin::read(&PinSource::Environment(PIN.to_owned()))
        .map_err(|error| Failure::new(format!("the token of the demonstration: {error}")))?;
    let module = Module::load(&library).map_err(failed)?;
    module.init_token(LABEL, &pin, &pin).map_err(failed)?;
    let uri = TokenUri::parse(&format!("pkcs11:token={LABEL}"))
        .map_err(|error| Failure::new(error.to_string()))?
        .with_module_path(library)
        .with_pin_source(PinSource::Environment(PIN.to_owned()));
    Ok(Process::Child(uri))
}

fn new_pin() -> Result<u64, Failure> {
    getrandom::u64()
        .map_err(|error| Failure::new(format!("cannot read random bytes from the system: {error}")))
}

/// Runs this command in a child process, with a temporary folder for tokens and a new PIN.
fn run_child() -> Result<Result<(), Failure>, Failure> {
    let failed = |what: &'static str| move |error: std::io::Error| Failure::new(format!("{what}: {error}"));
    let folder = tempfile::tempdir().map_err(failed("cannot create a temporary folder"))?;
    let conf = softhsm::prepare(folder.path())
        .map_err(|error| token_failure(&error, "the token of the demonstration"))?;
    let program = std::env::current_exe().map_err(failed("cannot locate this program"))?;
    let status = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(softhsm::CONF_VARIABLE, conf)
        .env(CHILD, "1")
        .env(PIN, format!("{:016x}", new_pin()?))
        .status()
        .map_err(failed("cannot start the child process"))?;
    Ok(if status.success() { Ok(()) } else { Err(Failure::of_child(status.code())) })
}
