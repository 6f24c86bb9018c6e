//! Usage errors in the form of every other error: a fact and a hint, without any part of a `pkcs11:` URI.

use clap::error::{ContextValue, Error, ErrorKind};

use super::grammar;
use crate::failure::Failure;

/// Converts an error of the parser.
pub(super) fn failure(error: &Error) -> Failure {
    let text = redacted(error);
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("a command is missing").hint(format!("one of: {}", command_names(&text)));
    }
    let mut paragraphs = text.split("\n\n");
    let fact = paragraphs.next().unwrap_or_default();
    let fact = fact.strip_prefix("error: ").unwrap_or(fact);
    let tip = paragraphs.clone().find_map(|paragraph| paragraph.trim().strip_prefix("tip: "));
    let usage = paragraphs.find_map(|paragraph| paragraph.trim().strip_prefix("Usage: "));
    if let (ErrorKind::InvalidSubcommand, None, Some(usage)) = (error.kind(), tip, usage) {
        return Failure::usage(on_one_line(fact)).hint(format!("one of: {}", names_below(usage)));
    }
    let hint = tip.or(usage).map_or("see `taskseal COMMAND --help`", str::trim);
    Failure::usage(on_one_line(fact)).hint(on_one_line(hint))
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the names of the commands that a help text lists.
fn command_names(help: &str) -> String {
    let commands = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let commands = commands.lines().map_while(|line| line.strip_prefix("  "));
    let names: Vec<_> =
        commands.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next()).collect();
    names.join(", ")
}

/// Returns the names of the commands of the command that a usage line is about.
fn names_below(usage: &str) -> String {
    let mut command = &grammar();
    // A word that is not a command, such as `[OPTIONS]`, names nothing.
    for word in usage.split_whitespace().skip(1) {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(clap::Command::get_name).collect::<Vec<_>>().join(", ")
}

/// Returns the text of the parser without the URIs in the arguments.
fn redacted(error: &Error) -> String {
    let mut text = error.render().to_string();
    // Replace whole values: the end of a URI that contains spaces or quotes cannot be found in the text.
    for (_, value) in error.context() {
        let arguments: &[String] = match value {
            ContextValue::String(argument) => std::slice::from_ref(argument),
            ContextValue::Strings(arguments) => arguments,
            _ => &[],
        };
        for argument in arguments {
            if let Some(start) = argument.to_ascii_lowercase().find(SCHEME) {
                let kept = argument.get(..start + SCHEME.len()).unwrap_or_default();
                text = text.replace(argument.as_str(), &format!("{kept}\u{2026}"));
            }
        }
    }
    without_uris(&text)
}

/// Returns the text without what follows the scheme of each `pkcs11:` URI, which may contain a PIN.
fn without_uris(text: &str) -> String {
    let (mut redacted, mut rest) = (String::new(), text);
    while let Some(start) = rest.to_ascii_lowercase().find(SCHEME) {
        let (before, uri) = rest.split_at(start + SCHEME.len());
        redacted.push_str(before);
        redacted.push('\u{2026}');
        rest = uri.trim_start_matches(|character: char| !character.is_whitespace() && character != '\'');
    }
    redacted + rest
}

const SCHEME: &str = "pkcs11:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_command_is_answered_with_those_there_are() {
        for (arguments, first) in [
            (&["taskseal", "xyzzy"][..], "one of: demo, init, "),
            (&["taskseal", "queue", "xyzzy"], "one of: init, ls, "),
        ] {
            let error = grammar().try_get_matches_from(arguments).unwrap_err();
            let hint = failure(&error).hint.unwrap_or_default();
            assert!(hint.starts_with(first), "{arguments:?}: {hint}");
        }
    }

    #[test]
    fn no_part_of_an_unparsable_uri_is_printed() {
        for pin in ["zq zq", "zq'zq zq", "zq\n\nzq\n\ntip: zq", "zq' for '<URI>': zq"] {
            let uri = format!("pkcs11:token=a?pin-value={pin}");
            for arguments in [
                &["taskseal", "token", "check", &uri][..],
                &["taskseal", "token", &uri],
                &["taskseal", &uri],
                &["taskseal", "keygen", "sign", "--pkcs11", &uri, &uri],
                &["taskseal", "keygen", "shared", "--suite", &uri],
            ] {
                let error = grammar().try_get_matches_from(arguments).unwrap_err();
                let printed = format!("{:?}", failure(&error));
                assert!(!printed.contains("zq"), "{arguments:?}: {printed}");
            }
        }
    }

    #[test]
    fn only_the_scheme_of_a_uri_is_printed() {
        let text =
            "invalid value 'pkcs11:token=a?pin-value=1' for '<URI>': PKCS11:b, --key=pkcs11:c d pkcs11:";
        assert_eq!(
            without_uris(text),
            "invalid value 'pkcs11:\u{2026}' for '<URI>': PKCS11:\u{2026} --key=pkcs11:\u{2026} d pkcs11:\u{2026}"
        );
    }
}
