//! A token of one's own: SoftHSM with an empty folder of tokens, and a project with its keys in one of them.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use taskseal_hsm::softhsm;

use super::project::{Run, run_with_environment};

pub(crate) const PIN: &str = "31415926";

/// A folder with tokens and, in `project`, whatever a test makes there.
pub(crate) struct TokenFolder {
    dir: tempfile::TempDir,
    conf: PathBuf,
    library: PathBuf,
}

impl TokenFolder {
    /// One token, `plant`, with nothing in it.
    pub(crate) fn new() -> Self {
        let library = softhsm::find_library().expect("install softhsm2: these tests need a real token");
        let dir = tempfile::tempdir().unwrap();
        let conf = softhsm::prepare(dir.path()).unwrap();
        let folder = Self { dir, conf, library };
        folder.add_token("plant");
        fs::write(folder.path("pin"), PIN).unwrap();
        fs::set_permissions(folder.path("pin"), Permissions::from_mode(0o600)).unwrap();
        folder
    }

    pub(crate) fn add_token(&self, label: &str) {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "27182818"])
            .env(softhsm::CONF_VARIABLE, &self.conf)
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("install softhsm2: these tests need a real token").success());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The token by this path part, with library and PIN.
    pub(crate) fn uri(&self, path: &str) -> String {
        let (library, pin) = (self.library.display(), self.path("pin"));
        format!("pkcs11:{path}?module-path={library}&pin-source=file:{}", pin.display())
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_in(self.dir.path(), arguments)
    }

    pub(crate) fn run_in(&self, dir: &Path, arguments: &[&str]) -> Run {
        run_with_environment(dir, &[(softhsm::CONF_VARIABLE, &self.conf)], arguments, b"")
    }

    /// With library and PIN in the environment, for what names neither.
    pub(crate) fn run_equipped(&self, dir: &Path, arguments: &[&str], input: &[u8]) -> Run {
        let source = format!("file:{}", self.path("pin").display());
        self.run_with_pin_source(&source, dir, arguments, input)
    }

    /// With the library in the environment, and this as the place of the PIN.
    pub(crate) fn run_with_pin_source(
        &self,
        source: &str,
        dir: &Path,
        arguments: &[&str],
        input: &[u8],
    ) -> Run {
        let environment = [
            (softhsm::CONF_VARIABLE, self.conf.as_path()),
            ("TASKSEAL_PKCS11_MODULE", &self.library),
            ("TASKSEAL_PKCS11_PIN_SOURCE", Path::new(source)),
        ];
        run_with_environment(dir, &environment, arguments, input)
    }

    /// A project with its keys in the token.
    pub(crate) fn project(&self) -> PathBuf {
        self.run(&["init", "project", "--pkcs11", &self.uri("token=plant")]).ok();
        self.path("project")
    }
}
