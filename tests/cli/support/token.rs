//! Runs of the program with a private token.

use std::path::{Path, PathBuf};
use std::process::Child;

use taskseal_tests::token_folder::TokenFolder;

use super::program::{Run, run_with_environment, spawn};

/// Runs of the program with the tokens of a folder.
pub(crate) trait RunWithToken {
    /// Runs the program in the folder of the tokens.
    fn run(&self, arguments: &[&str]) -> Run;

    fn run_in(&self, dir: &Path, arguments: &[&str]) -> Run;

    fn spawn_in(&self, dir: &Path, arguments: &[&str]) -> Child;

    /// Runs the program with library and PIN in the environment, for URIs that name neither.
    fn run_equipped(&self, dir: &Path, arguments: &[&str], input: &[u8]) -> Run;

    /// Runs the program with the library and this source of the PIN in the environment.
    fn run_with_pin_source(&self, source: &str, dir: &Path, arguments: &[&str], input: &[u8]) -> Run;

    /// Creates a project with its keys in the token `plant`.
    fn project(&self) -> PathBuf;
}

impl RunWithToken for TokenFolder {
    fn run(&self, arguments: &[&str]) -> Run {
        self.run_in(self.root(), arguments)
    }

    fn run_in(&self, dir: &Path, arguments: &[&str]) -> Run {
        run_with_environment(dir, &self.environment(), arguments, b"")
    }

    fn spawn_in(&self, dir: &Path, arguments: &[&str]) -> Child {
        spawn(dir, &self.environment(), arguments)
    }

    fn run_equipped(&self, dir: &Path, arguments: &[&str], input: &[u8]) -> Run {
        let source = format!("file:{}", self.path("pin").display());
        self.run_with_pin_source(&source, dir, arguments, input)
    }

    fn run_with_pin_source(&self, source: &str, dir: &Path, arguments: &[&str], input: &[u8]) -> Run {
        let [tokens] = self.environment();
        let environment = [
            tokens,
            ("TASKSEAL_PKCS11_MODULE", self.library()),
            ("TASKSEAL_PKCS11_PIN_SOURCE", Path::new(source)),
        ];
        run_with_environment(dir, &environment, arguments, input)
    }

    fn project(&self) -> PathBuf {
        self.run(&["init", "project", "--pkcs11", &self.uri("token=plant")]).ok();
        self.path("project")
    }
}
