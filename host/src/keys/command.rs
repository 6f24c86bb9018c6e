//! Secrets that programs fetch: `exec:NAME` runs the program of `[key_command.NAME]`, which writes the secret as JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::process::{ProcessFault, run};
use super::error::KeyError;
use super::reference::{InvalidKeyRef, KeyRef};
use super::secret_source::{FetchedSecret, SecretSource};
use crate::escape::Escaped;
use crate::file_security;
use crate::handler::check_executable;

mod process;
mod reply;
#[cfg(test)]
mod tests;

/// A program that fetches a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyCommand {
    /// Absolute path of the program, and its arguments. No shell is involved.
    pub(crate) program: Vec<String>,
    /// Time limit of one run.
    pub(crate) timeout: Duration,
    /// Environment variables of the program.
    pub(crate) env: BTreeMap<String, String>,
    /// Names of environment variables of this process that the program gets as well.
    pub(crate) pass_env: Vec<String>,
    /// Working directory.
    pub(crate) working_dir: PathBuf,
}

/// The source of secrets that programs fetch.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandSource(Arc<BTreeMap<String, KeyCommand>>);

impl CommandSource {
    /// Creates the source of these programs.
    pub(crate) fn new(commands: BTreeMap<String, KeyCommand>) -> Self {
        Self(Arc::new(commands))
    }
}

const SCHEME: &str = "exec";

impl SecretSource for CommandSource {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        let name = uri.split_once(':').map_or("", |(_, name)| name);
        if !is_name(name) {
            return Err(InvalidKeyRef::new(
                "not the name of a key command",
                "write `exec:NAME` with a NAME of `A-Z a-z 0-9 . _ -`, and the program in [key_command.NAME]",
            ));
        }
        if !self.0.contains_key(name) {
            return Err(InvalidKeyRef::new(
                format!("no section [key_command.{name}]"),
                format!(
                    "add it with `program = [\"/path/to/program\", …]`; only {SCHEME}: URIs in a configuration file run programs"
                ),
            ));
        }
        Ok(KeyRef::new(SCHEME, name, format!("{SCHEME}:{name}")))
    }

    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        let name = secret.address().to_str().unwrap_or_default();
        let command = self.0.get(name).ok_or_else(|| KeyError::not_found(secret, "no such key command"))?;
        check(secret, command)?;
        let output = run(command).map_err(|fault| failed(secret, command, &fault))?;
        reply::parse(&output).map_err(|message| KeyError::invalid(secret, message).hint(EXPECTED))
    }
}

/// Checks that no other user can replace the program, and that it can be started.
fn check(secret: &KeyRef, command: &KeyCommand) -> Result<(), KeyError> {
    let program = Path::new(command.program.first().map_or("", String::as_str));
    let describe = |message: &dyn std::fmt::Display| format!("its program {}: {message}", program.display());
    check_executable(program).map_err(|error| KeyError::invalid(secret, describe(&error)))?;
    file_security::check_program(program).map_err(|error| {
        let fault = KeyError::invalid(secret, describe(&error.message));
        match &error.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    })
}

/// Returns the error of a run. The exit status says what kind of error it is (`sysexits.h` of BSD).
fn failed(secret: &KeyRef, command: &KeyCommand, fault: &ProcessFault) -> KeyError {
    let with_stderr = |reason: String, stderr: &[u8]| match stderr.trim_ascii() {
        [] => reason,
        text => format!("{reason}: {}", Escaped::new(text)),
    };
    match fault {
        ProcessFault::NotStarted(error) => {
            KeyError::unavailable(secret, format!("its program cannot be started: {error}"))
        }
        ProcessFault::Overrun(stderr) => {
            let reason = format!("its program has not ended within {} s", command.timeout.as_secs());
            KeyError::unavailable(secret, with_stderr(reason, stderr))
                .hint("raise `timeout` of the key command, or check the service that the program calls")
        }
        ProcessFault::TooLong => {
            KeyError::invalid(secret, format!("its program wrote more than {} bytes", process::MAX_OUTPUT))
                .hint(EXPECTED)
        }
        ProcessFault::Failed { status, description, stderr } => {
            let message = with_stderr(format!("its program failed ({description})"), stderr);
            match *status {
                Some(EX_DATAERR) => KeyError::invalid(secret, message),
                Some(EX_NOINPUT) => KeyError::not_found(secret, message),
                Some(EX_NOPERM) => KeyError::credentials_refused(secret, message),
                _ => KeyError::unavailable(secret, message),
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

const EX_DATAERR: i32 = 65;
const EX_NOINPUT: i32 = 66;
const EX_NOPERM: i32 = 77;

const EXPECTED: &str = "the program writes one JSON object: {\"v\":1,\"secret\":\"…\"}, with \"version\" and \"ttl\" if it knows them";
