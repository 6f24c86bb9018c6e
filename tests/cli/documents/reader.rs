//! Reads a page and runs its commands as printed, in the order of the page, in a private folder.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use taskseal_hsm::softhsm;
use taskseal_tests::documents::{Block, Page};
use taskseal_tests::redis::RedisServer;
use tempfile::TempDir;

use super::not_run::NOT_RUN;
use super::output::compare;
use super::substituted::SUBSTITUTED;
use super::values::Values;

/// What is done in place of a command that cannot be run here.
type Replacement = dyn Fn(&Reader, &str);

/// A reader of one page: the home folder, the folder of the shell, its variables, and what takes the place of printed values.
pub(crate) struct Reader {
    pub(crate) page: Page,
    home: TempDir,
    folder: PathBuf,
    values: Values,
    failures: Vec<(&'static str, i32)>,
    /// Beginnings of the commands of programs that are not installed, each with what is done in place of such a command.
    lacking: Vec<(&'static str, Rc<Replacement>)>,
    skipped: bool,
    /// Lines of the commands that were run.
    run: BTreeSet<usize>,
    /// A server, if the page needs one.
    pub(crate) redis: Option<RedisServer>,
}

impl Reader {
    /// A reader with an empty home folder, which is the folder of the shell, and a Redis if the page needs one. `None` if
    /// this machine has not what the page needs.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let mut reader = Self {
            page: Page::read(path),
            folder: home.path().to_owned(),
            home,
            values: Values::default(),
            failures: Vec::new(),
            lacking: Vec::new(),
            skipped: false,
            run: BTreeSet::new(),
            redis: None,
        };
        fs::write(reader.state("environment"), "").unwrap();
        for entry in SUBSTITUTED.iter().filter(|entry| entry.page == path) {
            let value = reader.value(entry.value)?;
            reader.replace(entry.printed, &value);
        }
        Some(reader)
    }

    /// Returns a value of the table with what it names.
    fn value(&mut self, value: &str) -> Option<String> {
        let home = self.home.path().display().to_string();
        let mut value = value.replace("{home}", &home);
        if value.contains("{redis}") {
            if self.redis.is_none() {
                self.redis = RedisServer::start_or_skip();
            }
            let url = self.redis.as_ref()?.url();
            value = value.replace("{redis}", url.trim_start_matches("redis://").trim_end_matches("/0"));
        }
        if value.contains("{library}") {
            value = value.replace("{library}", &library());
        }
        Some(value)
    }

    /// Runs nothing further, because this machine lacks something.
    pub(crate) fn skip(&mut self, missing: &str) {
        eprintln!("SKIPPED: {} needs {missing}", self.page.path);
        self.skipped = true;
    }

    /// Calls `instead` in place of each command that begins with these words, because this machine lacks their program.
    pub(crate) fn lack(&mut self, command: &'static str, instead: impl Fn(&Self, &str) + 'static) {
        eprintln!("SKIPPED: the commands `{command}…` of {}", self.page.path);
        self.lacking.push((command, Rc::new(instead)));
    }

    /// Checks that every command of the page was run or is listed.
    pub(crate) fn finish(&self) {
        if self.skipped {
            return;
        }
        let blocks = self.page.blocks();
        let commands: Vec<_> = blocks.iter().flat_map(Block::commands).collect();
        for command in &commands {
            let is_listed = NOT_RUN.iter().any(|entry| entry.is(&self.page.path, &command.text));
            let was_run = self.run.contains(&command.line);
            assert!(was_run || is_listed, "{}:{} was not run", self.page.path, command.line);
        }
        for (start, _) in &self.failures {
            assert!(
                commands.iter().any(|command| command.text.starts_with(start)),
                "{start} is not in the page"
            );
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Makes a folder below the home folder the one of the next command.
    pub(crate) fn enter(&mut self, name: &str) {
        self.folder = self.path(name);
        fs::create_dir_all(&self.folder).unwrap();
    }

    /// Replaces what the page prints in the commands and files that follow.
    pub(crate) fn replace(&mut self, printed: &str, value: &str) {
        assert!(self.page.text.contains(printed), "{}: {printed} is not in the page", self.page.path);
        self.values.set(printed, value);
    }

    /// Expects an exit code of the command that begins with these words.
    pub(crate) fn expect(&mut self, command: &'static str, code: i32) {
        self.failures.push((command, code));
    }

    /// Sets a variable of the shell.
    pub(crate) fn export(&mut self, name: &str, value: &Path) {
        self.prepare(&format!("export {name}='{}'", value.display()));
    }

    /// Writes a file below the folder of the shell, with the values of this run.
    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) {
        let file = self.folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, self.values.apply(text)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Returns whether a file below the folder of the shell exists.
    pub(crate) fn exists(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// Reads a file below the folder of the shell.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// Runs all commands of the page.
    pub(crate) fn run_all(&mut self) -> String {
        let page = self.page.clone();
        page.blocks().iter().map(|block| self.run(block)).last().unwrap_or_default()
    }

    /// Runs the commands of a block, except for those that no test can run. Returns the output of the last one.
    pub(crate) fn run(&mut self, block: &Block<'_>) -> String {
        let mut last = String::new();
        for command in block.commands() {
            if NOT_RUN.iter().any(|entry| entry.is(&self.page.path, &command.text)) {
                continue;
            }
            let _ = self.run.insert(command.line);
            let lacking = self.lacking.iter().find(|(start, _)| command.text.starts_with(start));
            if let Some(instead) = lacking.map(|(_, instead)| Rc::clone(instead)) {
                instead(self, &command.text);
                continue;
            }
            let place = format!("{}:{}: {}", self.page.path, command.line, command.text);
            let (code, printed) = self.shell(&self.values.apply(&command.text));
            last = printed;
            let expected = self.failures.iter().find(|(start, _)| command.text.starts_with(start));
            let expected = expected.map_or(0, |(_, code)| *code);
            assert_eq!(code, Some(expected), "{place}\n{last}");
            if !command.output.is_empty() {
                compare(&command.output, &last, &mut self.values)
                    .unwrap_or_else(|line| panic!("{place}\nprints otherwise: {line}\n{last}"));
            }
        }
        last
    }

    /// Runs a command that is not in the page: what the reader has done before.
    pub(crate) fn prepare(&mut self, command: &str) -> String {
        self.try_to(command).unwrap_or_else(|printed| panic!("{command}\n{printed}"))
    }

    /// Runs a command that is not in the page and may fail. Returns what it prints.
    pub(crate) fn try_to(&mut self, command: &str) -> Result<String, String> {
        match self.shell(command) {
            (Some(0), printed) => Ok(printed),
            (_, printed) => Err(printed),
        }
    }

    /// Runs a command that the page prints outside of its commands.
    pub(crate) fn prepare_as_printed(&mut self, command: &str) -> String {
        let command = self.values.apply(command);
        self.prepare(&command)
    }

    fn state(&self, name: &str) -> PathBuf {
        let state = self.home.path().join(".shell");
        fs::create_dir_all(&state).unwrap();
        state.join(name)
    }

    /// Runs a command with the folder and the variables that the one before has left. Returns its exit code and both outputs
    /// as one.
    fn shell(&mut self, command: &str) -> (Option<i32>, String) {
        let (environment, folder) = (self.state("environment"), self.state("folder"));
        let script = format!(
            "set -a; . '{0}'; exec 2>&1\n{command}\nstatus=$?\nexport -p > '{0}'; pwd > '{1}'; exit $status\n",
            environment.display(),
            folder.display()
        );
        let program = Path::new(env!("CARGO_BIN_EXE_taskseal")).parent().unwrap();
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&self.folder)
            .env("HOME", self.home.path())
            .env("PATH", format!("{}:{}", program.display(), std::env::var("PATH").unwrap()))
            .env_remove("TASKSEAL_CONFIG")
            .env_remove("TASKSEAL_PKCS11_MODULE")
            .env_remove("TASKSEAL_PKCS11_PIN_SOURCE")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if let Ok(left) = fs::read_to_string(&folder) {
            self.folder = PathBuf::from(left.trim_end());
        }
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }
}

/// Returns the path of the SoftHSM library of this machine.
fn library() -> String {
    softhsm::find_library().expect("install softhsm2: these pages need a real token").display().to_string()
}

/// Returns the first block of a language.
pub(crate) fn first<'p>(page: &'p Page, language: &str) -> Block<'p> {
    page.blocks().into_iter().find(|block| block.language == language).unwrap()
}
