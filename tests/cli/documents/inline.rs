//! Command lines in sentences and tables, and those that no test runs, name what exists: commands, options, packages, steps.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use taskseal_tests::documents::{Page, pages, top};

/// Returns the code spans of a page and the lines of its commands.
fn command_lines(page: &Page) -> Vec<String> {
    let mut lines = page.spans();
    lines.extend(page.blocks().iter().flat_map(|block| block.commands()).map(|command| command.text));
    lines
}

/// Returns the words of a command line that begins with the program, up to the next command or a redirection.
fn words<'l>(line: &'l str, program: &str) -> Option<Vec<&'l str>> {
    let rest = line.strip_prefix(program)?;
    let is_end = |word: &&str| !["|", ">", ">>", "&&", "#", ";", "--"].contains(word);
    rest.starts_with([' ', '\n']).then(|| rest.split_whitespace().take_while(is_end).collect())
}

/// The texts of `--help`, by the words of the command.
#[derive(Default)]
struct Helps(BTreeMap<String, String>);

impl Helps {
    fn of(&mut self, command: &[&str]) -> &str {
        self.0.entry(command.join(" ")).or_insert_with(|| {
            let output = Command::new(env!("CARGO_BIN_EXE_taskseal"))
                .args(command)
                .arg("--help")
                .env("COLUMNS", "1000")
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
    }

    /// Returns what is wrong with the words after `taskseal`.
    fn fault(&mut self, words: &[&str]) -> Option<String> {
        let mut command = Vec::new();
        for word in words.iter().take_while(|word| !word.starts_with('-')) {
            if !lists(self.of(&command), word) {
                break;
            }
            command.push(*word);
        }
        let help = self.of(&command).to_owned();
        let unknown = words.get(command.len()).filter(|word| is_name(word) && help.contains("\nCommands:"));
        let options =
            words.iter().filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap());
        let known = |option: &str| help.split([' ', '\n', ',', '[']).any(|word| word == option);
        let missing = options
            .filter(|option| *option != "--help" && *option != "--version")
            .find(|option| !known(option));
        unknown
            .map(|word| format!("no command {word}"))
            .or_else(|| missing.map(|option| format!("no option {option}")))
    }
}

/// Returns whether a help lists this command.
fn lists(help: &str, word: &str) -> bool {
    let commands = help.split_once("\nCommands:\n").map_or("", |(_, commands)| commands);
    let commands = commands.split("\n\n").next().unwrap();
    commands
        .lines()
        .any(|line| line.strip_prefix("  ").is_some_and(|line| line.split(' ').next() == Some(word)))
        || (commands.contains(&format!("alias: {word}")) || commands.contains(&format!("aliases: {word}")))
}

fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        && !word.starts_with('-')
}

#[test]
fn command_or_option_that_the_program_lacks_is_in_no_document() {
    let mut helps = Helps::default();
    let mut checked = 0;
    for page in pages().iter().filter(|page| !page.path.ends_with("CHANGELOG.md")) {
        for line in command_lines(page) {
            let Some(words) = words(&line, "taskseal") else { continue };
            let fault = helps.fault(&words);
            assert_eq!(fault, None, "{}: {line}", page.path);
            checked += 1;
        }
    }
    assert!(checked > 80, "{checked} command lines are checked");
    assert!(helps.fault(&["task", "frobnicate"]).is_some() && helps.fault(&["worker", "--never"]).is_some());
}

/// Calls a function with each command that has subcommands or an example.
fn each_command(helps: &mut Helps, command: &[&str], check: &mut impl FnMut(&mut Helps, &str)) {
    let help = helps.of(command).to_owned();
    check(helps, &help);
    let commands = help.split_once("\nCommands:\n").map_or("", |(_, commands)| commands);
    for line in commands.split("\n\n").next().unwrap().lines() {
        let name = line.trim_start().split(' ').next().unwrap();
        if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
            each_command(helps, &[command, &[name]].concat(), check);
        }
    }
}

#[test]
fn examples_of_every_help_use_commands_and_options_that_exist() {
    let mut checked = 0;
    each_command(&mut Helps::default(), &[], &mut |helps, help| {
        let examples = help.split_once("\nExample").map_or("", |(_, examples)| examples);
        let parts =
            examples.lines().flat_map(|line| line.split([';', '|'])).flat_map(|line| line.split("&&"));
        for example in parts {
            let Some(words) = words(example.trim(), "taskseal") else { continue };
            assert_eq!(helps.fault(&words), None, "{example}");
            checked += 1;
        }
    });
    assert!(checked > 30, "{checked} examples are checked");
}

/// Returns the folder of a package of this repository.
fn package(name: &str) -> Option<PathBuf> {
    let folders = [
        "benches",
        "core",
        "core/capi",
        "core/firmware",
        "fuzz",
        "host",
        "host/cli",
        "hsm",
        "tests",
        "tests/vectors",
    ];
    let line = format!("name = \"{name}\"");
    folders.into_iter().map(top).find(|folder| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        manifest.lines().find(|line| line.starts_with("name = ")) == Some(&line)
    })
}

/// Returns what is wrong with the words after `cargo`.
fn cargo_fault(words: &[&str]) -> Option<String> {
    let after = |option: &str| {
        words.iter().zip(words.iter().skip(1)).find(|(word, _)| **word == option).map(|(_, next)| *next)
    };
    let folder = match after("-p") {
        Some(name) => package(name),
        None => return None,
    };
    let Some(folder) = folder else { return Some("no such package".to_owned()) };
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    ["--test", "--bench", "--example"].into_iter().find_map(|kind| {
        let name = after(kind)?;
        let files = folder.join(format!("{}s", kind.trim_start_matches('-')));
        let is_there = manifest.contains(&format!("name = \"{name}\""))
            || files.join(name).with_extension("rs").exists()
            || files.join(name).join("main.rs").exists();
        (!is_there).then(|| format!("no {kind} {name}"))
    })
}

#[test]
fn package_test_or_step_that_is_missing_is_in_no_document() {
    assert!(cargo_fault(&["test", "-p", "taskseal-tests", "--test", "never"]).is_some());
    for page in pages() {
        for line in command_lines(&page) {
            let line = line.trim_start_matches("./").trim_start_matches("TASKSEAL_FULL=1 ");
            if let Some(words) = words(line, "cargo") {
                assert_eq!(cargo_fault(&words), None, "{}: {line}", page.path);
            }
            for step in words(line, "tests/run").unwrap_or_default() {
                let option = ["--list", "--full", "--help"].contains(&step);
                assert!(option || top(&format!("tests/steps/{step}.sh")).exists(), "{}: {line}", page.path);
            }
        }
    }
}
