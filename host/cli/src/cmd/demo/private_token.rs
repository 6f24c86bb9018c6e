//! A private token for the demonstration: SoftHSM in a temporary folder.
//!
//! SoftHSM reads where its tokens are from the environment when it is loaded, and a program cannot change its own
//! environment safely. So the demonstration runs once more as a child of itself.

use std::process::Command;

use taskseal_hsm::{Module, Pin, PinSource, TokenUri, softhsm};

use crate::cmd::made::token_failed;
use crate::ui::Failure;

/// Tells the child that the token is its own to set up.
const CHILD: &str = "TASKSEAL_DEMO_TOKEN";
/// The PIN of the token, in the environment of the child.
const PIN: &str = "TASKSEAL_DEMO_PIN";
const LABEL: &str = "taskseal-demo";

/// Where this process is.
pub(super) enum Entered {
    /// In the child: the token is empty and ready.
    Here(TokenUri),
    /// The child has run, and this came of it.
    Ran(Result<(), Failure>),
}

pub(super) fn enter() -> Result<Entered, Failure> {
    let Some(library) = softhsm::find_library() else {
        return Err(Failure::unavailable("SoftHSM is not installed")
            .hint("install it (Debian: softhsm2), or leave out --hsm"));
    };
    if std::env::var_os(CHILD).is_none() {
        return run_child().map(Entered::Ran);
    }
    let failed = |error| token_failed(&error, "the token of the demonstration");
    let pin = Pin::read(&PinSource::Environment(PIN.to_owned()))
        .map_err(|error| Failure::new(format!("the token of the demonstration: {error}")))?;
    let module = Module::load(&library).map_err(failed)?;
    module.init_token(LABEL, &pin, &pin).map_err(failed)?;
    let uri = TokenUri::parse(&format!("pkcs11:token={LABEL}"))
        .map_err(|error| Failure::new(error.to_string()))?
        .with_module_path(library)
        .with_pin_source(PinSource::Environment(PIN.to_owned()));
    Ok(Entered::Here(uri))
}

fn fresh_pin() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| Failure::new(format!("no randomness from the system: {error}")))
}

/// This very command once more, with a folder for tokens and a fresh PIN.
fn run_child() -> Result<Result<(), Failure>, Failure> {
    let failed = |what: &'static str| move |error: std::io::Error| Failure::new(format!("{what}: {error}"));
    let folder = tempfile::tempdir().map_err(failed("no temporary folder"))?;
    let conf = softhsm::prepare(folder.path())
        .map_err(|error| token_failed(&error, "the token of the demonstration"))?;
    let program = std::env::current_exe().map_err(failed("this program cannot be found"))?;
    let status = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(softhsm::CONF_VARIABLE, conf)
        .env(CHILD, "1")
        .env(PIN, format!("{:016x}", fresh_pin()?))
        .status()
        .map_err(failed("this program cannot be started once more"))?;
    Ok(if status.success() { Ok(()) } else { Err(Failure::said(status.code())) })
}
