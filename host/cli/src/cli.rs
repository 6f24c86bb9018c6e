//! The grammar of the command line: global options here, each command's own beside what it does.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextValue, Error, ErrorKind};

use crate::cmd::Command;
use crate::ui::{Failure, Ui};

/// Task queues whose broker need not be trusted.
#[derive(Debug, Parser)]
#[command(name = "taskseal", version, disable_help_subcommand = true, after_help = EXAMPLE)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
#[command(next_display_order = 1000)]
pub(crate) struct Global {
    /// Configuration file [default: $TASKSEAL_CONFIG, else taskseal.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON, each object with its version as "v"
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print nothing on standard error but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

const EXAMPLE: &str = "Example:
  taskseal init demo && cd demo
  taskseal enqueue --queue default --type file:digest --payload sample.txt
  taskseal worker --once
  taskseal result ID";

/// Reads the arguments; the exit code if that was all there is to do.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Err(broken) if broken.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        },
        _ => Ui::new(false, false).fail(&usage(&error)),
    })
}

/// The words of the parser in the form of every other error: a fact and a next step.
fn usage(error: &Error) -> Failure {
    let text = shown(error);
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // What was rendered is the help: of it the commands.
        let commands = text.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        let commands = commands.lines().map_while(|line| line.strip_prefix("  "));
        let names: Vec<_> = commands
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split(' ').next())
            .collect();
        return Failure::usage("a command is missing").hint(format!("one of: {}", names.join(", ")));
    }
    let mut paragraphs = text.split("\n\n");
    let fact = paragraphs.next().unwrap_or_default();
    let fact = fact.strip_prefix("error: ").unwrap_or(fact);
    let fact = fact.split_whitespace().collect::<Vec<_>>().join(" ");
    let tip = paragraphs.clone().find_map(|paragraph| paragraph.trim().strip_prefix("tip: "));
    let usage = paragraphs.find_map(|paragraph| paragraph.trim().strip_prefix("Usage: "));
    let hint = tip.or(usage).map_or("see `taskseal --help`", str::trim);
    Failure::usage(fact).hint(hint.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What the parser says, without the URIs that it was given.
fn shown(error: &Error) -> String {
    let mut text = error.render().to_string();
    // Whole, since a URI with blanks or quotation marks in it has no end that could be seen in the text.
    for (_, value) in error.context() {
        let given: &[String] = match value {
            ContextValue::String(one) => std::slice::from_ref(one),
            ContextValue::Strings(several) => several,
            _ => &[],
        };
        for value in given {
            if let Some(at) = value.to_ascii_lowercase().find(SCHEME) {
                let kept = value.get(..at + SCHEME.len()).unwrap_or_default();
                text = text.replace(value.as_str(), &format!("{kept}\u{2026}"));
            }
        }
    }
    without_uris(&text)
}

/// The text without what follows the scheme of a `pkcs11:` URI: somebody may have put a PIN there.
fn without_uris(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(at) = rest.to_ascii_lowercase().find(SCHEME) {
        let (before, uri) = rest.split_at(at + SCHEME.len());
        shown.push_str(before);
        shown.push('\u{2026}');
        rest = uri.trim_start_matches(|character: char| !character.is_whitespace() && character != '\'');
    }
    shown + rest
}

const SCHEME: &str = "pkcs11:";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_part_of_a_uri_that_cannot_be_read_is_shown() {
        for pin in ["zq zq", "zq'zq zq", "zq\n\nzq\n\ntip: zq", "zq' for '<URI>': zq"] {
            let uri = format!("pkcs11:token=a?pin-value={pin}");
            for arguments in [
                &["taskseal", "token", "check", &uri][..],
                &["taskseal", "token", &uri],
                &["taskseal", &uri],
                &["taskseal", "keygen", "--pkcs11", &uri, &uri],
                &["taskseal", "keygen", "--suite", &uri],
            ] {
                let error = Cli::try_parse_from(arguments).unwrap_err();
                let told = format!("{:?}", usage(&error));
                assert!(!told.contains("zq"), "{arguments:?}: {told}");
            }
        }
    }

    #[test]
    fn nothing_of_a_uri_is_shown_but_its_scheme() {
        let text =
            "invalid value 'pkcs11:token=a?pin-value=1' for '<URI>': PKCS11:b, --key=pkcs11:c d pkcs11:";
        assert_eq!(
            without_uris(text),
            "invalid value 'pkcs11:\u{2026}' for '<URI>': PKCS11:\u{2026} --key=pkcs11:\u{2026} d pkcs11:\u{2026}"
        );
    }

    #[test]
    fn grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_of_every_command_ends_with_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().unwrap_or_else(|| panic!("{}", command.get_name()));
            assert!(help.to_string().starts_with("Example:\n  taskseal "), "{}", command.get_name());
        }
    }
}
