//! What is printed where.
//!
//! * Standard output carries data and nothing else.
//! * Every line on standard error starts with `taskseal:`; an error is `taskseal: error: FACT`, then
//!   `taskseal: hint: NEXT STEP`; lower case, no full stop.
//! * Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused (verification or policy), 4 not
//!   found, 5 out of reach (queue, token, key file).
//! * No secret is an argument or is printed.
//! * Text from the wire is escaped. There is no colour but in the help, where `NO_COLOR` is honoured.
//! * A reader that goes away ends the program in silence.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::{Map, Value};
use taskseal::escape::Escaped;
use taskseal::file_error::FileError;
use taskseal::keys::{KeyErrorKind, KeyringError};

/// Standard output and standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    json: bool,
    quiet: bool,
}

impl Ui {
    pub(crate) const fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether data is to be JSON.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Whether a person wants to be told nothing but errors.
    pub(crate) const fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether somebody looks at standard output.
    pub(crate) fn is_terminal() -> bool {
        io::stdout().is_terminal()
    }

    /// Writes data as it is.
    pub(crate) fn data(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { exit: Exit::Silent, message: String::new(), hint: None },
            _ => Failure::new(format!("standard output cannot be written: {error}")),
        })
    }

    /// Writes lines of text. What comes from the wire is escaped by the caller.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        self.data(text.as_bytes())
    }

    /// Writes one JSON object on one line, with the version of its form.
    pub(crate) fn object(
        &self,
        members: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<(), Failure> {
        self.text(&format!("{}\n", object(members)))
    }

    /// Tells a person something that is no data.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// Tells a person something that matters even to one who wants to be told little.
    pub(crate) fn warn(&self, text: &str) {
        say(text);
    }

    /// Tells a program of something that happened while data is still to come: one JSON object on standard error.
    pub(crate) fn event(&self, members: impl IntoIterator<Item = (&'static str, Value)>) {
        let _ = writeln!(io::stderr().lock(), "{}", object(members));
    }

    /// Tells what went wrong and gives the exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        if failure.message.is_empty() {
            return ExitCode::from(failure.exit as u8);
        }
        say(&format!("error: {}", failure.message));
        if let Some(hint) = &failure.hint {
            say(&format!("hint: {hint}"));
        }
        ExitCode::from(failure.exit as u8)
    }
}

/// A JSON object with the version of its form, in ASCII: what is in it may end on a terminal.
fn object(members: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    let version = ("v", Value::from(1));
    let members = std::iter::once(version).chain(members);
    let object: Map<String, Value> = members.map(|(name, value)| (name.to_owned(), value)).collect();
    let mut ascii = String::new();
    for character in Value::Object(object).to_string().chars() {
        if character < '\u{7f}' {
            ascii.push(character);
        } else {
            // Outside of strings JSON is ASCII already, so every such character is inside one.
            let units = &mut [0; 2];
            for unit in character.encode_utf16(units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// One line on standard error. That it cannot be written changes nothing about what happened.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "taskseal: {}", Escaped::new(text));
}

/// Why a command did not do what it was asked to. The texts need not be escaped.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Nobody reads any more.
    Silent = 0,
    Failure = 1,
    Usage = 2,
    Refused = 3,
    NotFound = 4,
    Unavailable = 5,
}

impl Failure {
    fn with(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// A child has said everything; the exit code is its own.
    pub(crate) fn said(code: Option<i32>) -> Self {
        let exit = [Exit::Usage, Exit::Refused, Exit::NotFound, Exit::Unavailable];
        let exit = exit.into_iter().find(|exit| code == Some(*exit as i32)).unwrap_or(Exit::Failure);
        Self::with(exit, "")
    }

    /// What went wrong.
    pub(crate) fn into_message(self) -> String {
        self.message
    }

    /// Exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with(Exit::Failure, message)
    }

    /// Exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::with(Exit::Usage, message)
    }

    /// Exit code 3.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::with(Exit::Refused, message)
    }

    /// Exit code 4.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::with(Exit::NotFound, message)
    }

    /// Exit code 5.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::with(Exit::Unavailable, message)
    }

    /// Exit code 2: a configuration or keyset file is wrong or not there.
    pub(crate) fn config(error: FileError) -> Self {
        Self { hint: error.hint.clone(), ..Self::with(Exit::Usage, error.to_string()) }
    }

    /// The keyset or a key: exit code 2 if the configuration or the keyset is wrong, else that of [`key`](Self::key).
    pub(crate) fn keyring(error: KeyringError) -> Self {
        match error {
            KeyringError::File(error) => Self::config(error),
            error => Self::key(error),
        }
    }

    /// A key: exit code 5 if it is unavailable, 1 if it cannot be used for another reason.
    pub(crate) fn key(error: impl Into<KeyringError>) -> Self {
        let error = error.into();
        let exit = match &error {
            KeyringError::Key(error) if error.kind == KeyErrorKind::Unavailable => Exit::Unavailable,
            _ => Exit::Failure,
        };
        Self { hint: error.hint().map(str::to_owned), ..Self::with(exit, error.to_string()) }
    }

    /// A file or folder: exit code 5 if it cannot be read or written, 1 if it cannot be used for another reason.
    pub(crate) fn file(error: FileError) -> Self {
        let exit = match error.io {
            None | Some(io::ErrorKind::AlreadyExists) => Exit::Failure,
            Some(_) => Exit::Unavailable,
        };
        Self { hint: error.hint.clone(), ..Self::with(exit, error.to_string()) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
