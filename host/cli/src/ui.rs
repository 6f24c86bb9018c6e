//! Standard output and standard error: what is printed where.
//!
//! * Standard output carries data only.
//! * Every line on standard error starts with `taskseal:`; an error is `taskseal: error: FACT`, then
//!   `taskseal: hint: NEXT STEP`; lower case, no full stop. With `--json` every line is a JSON object instead.
//! * Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused (verification or policy), 4 not
//!   found, 5 unavailable (queue, token, key file), 6 not yet, 7 PIN refused, 8 no replay ledger.
//! * No secret is an argument or is printed.
//! * Text from the wire is escaped. Only the help has colour, and it honours `NO_COLOR`.
//! * If the reader of standard output closes it, the program ends without a message.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use taskseal::escape::Escaped;
use taskseal::time::UnixMillis;

use crate::failure::Failure;
use crate::output::json::Member;
use crate::output::{json, stderr};
use crate::time_arg;

/// Standard output and standard error, with the options that say what is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    json: bool,
    quiet: bool,
}

impl Ui {
    pub(crate) const fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Returns whether data is printed as JSON.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Returns whether only warnings and errors are printed on standard error.
    pub(crate) const fn quiet(&self) -> bool {
        self.quiet
    }

    /// Returns whether standard output is a terminal.
    pub(crate) fn is_terminal() -> bool {
        io::stdout().is_terminal()
    }

    /// Writes data unchanged.
    pub(crate) fn data(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(),
            _ => Failure::new(format!("cannot write to standard output: {error}")),
        })
    }

    /// Writes lines of text. The caller has escaped what comes from the wire.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        self.data(text.as_bytes())
    }

    /// Writes one JSON object on one line, with the version of its format.
    pub(crate) fn object(&self, members: Vec<Member>) -> Result<(), Failure> {
        self.text(&format!("{}\n", json::versioned(members)))
    }

    /// Prints a note on standard error, unless only warnings are wanted.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.line("note", text);
        }
    }

    /// Prints a warning on standard error.
    pub(crate) fn warn(&self, text: &str) {
        self.line("warning", text);
    }

    /// Prints one line on standard error, with `--json` as an object in the form of the events of a worker.
    fn line(&self, event: &str, text: &str) {
        if self.json {
            self.log_object(message(event, text));
        } else {
            print_line(text);
        }
    }

    /// Returns a progress bar on standard error, hidden if only warnings are wanted. `template` is its text.
    pub(crate) fn progress(&self, len: Option<u64>, template: &str) -> ProgressBar {
        let target = if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(len, target);
        let style = ProgressStyle::with_template(&format!("taskseal: {template} {{wide_bar}} {{elapsed}}"));
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    /// Prints one JSON object on standard error, for a program that reads the log.
    pub(crate) fn log_object(&self, members: Vec<Member>) {
        stderr::print(&json::versioned(members));
    }

    /// Prints the error and returns its exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        if failure.message.is_empty() {
            return ExitCode::from(failure.exit as u8);
        }
        if self.json {
            let mut members = message("error", &failure.message);
            if let Some(hint) = &failure.hint {
                members.push(("hint", hint.as_str().into()));
            }
            members.push(("exit_code", (failure.exit as u8).into()));
            self.log_object(members);
        } else {
            print_line(&format!("error: {}", failure.message));
            if let Some(hint) = &failure.hint {
                print_line(&format!("hint: {hint}"));
            }
        }
        ExitCode::from(failure.exit as u8)
    }
}

/// Returns the members of a line on standard error as an object.
fn message(event: &str, text: &str) -> Vec<Member> {
    vec![("event", event.into()), ("at", time_arg::show(UnixMillis::now()).into()), ("message", text.into())]
}

/// Prints one line on standard error. A failure to write it does not change the result of the command.
fn print_line(text: &str) {
    stderr::print(&format!("taskseal: {}", Escaped::new(text)));
}
