//! Fixtures: a process, a folder and a configuration for each test, with faults on demand.

// Each test program uses a part of it.
#![allow(dead_code, unused_macros, unused_imports)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

pub(crate) mod raw;
mod shim;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use sha2::{Digest, Sha256};
use taskseal_core::{Provider, Software};
use taskseal_hsm::{EcKey, Error, KeyDefect, Module, Pin, Settings, Token, TokenUri, softhsm};

pub(crate) const PIN: &str = "31415926";
pub(crate) const SO_PIN: &str = "27182818";
pub(crate) const LABEL: &str = "plant";

/// The library behind a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    SoftHsm,
    Kryoptic,
}

/// What a test receives in its own process.
#[derive(Debug)]
pub(crate) struct Fixture {
    name: String,
    pub(crate) kind: Kind,
    pub(crate) folder: PathBuf,
    /// Path of the shim, which passes calls on to the library of the token.
    pub(crate) module: PathBuf,
}

/// Name of p11-kit's socket in the folder of the test.
pub(crate) const SOCKET: &str = "p11-kit.sock";

const CHILD: &str = "TASKSEAL_HSM_CHILD";
const MODULE: &str = "TASKSEAL_HSM_MODULE";
const ROLE: &str = "TASKSEAL_HSM_ROLE";

/// Runs `body` in a separate process with one kind of token. `name` is the name of the test in this program.
pub(crate) fn on(kind: Kind, name: &str, body: impl FnOnce(&Fixture)) {
    let library = match kind {
        Kind::SoftHsm => softhsm::find_library().expect("install softhsm2: these tests need a real token"),
        Kind::Kryoptic => match env::var_os("TASKSEAL_KRYOPTIC").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => {
                return did_not_run(name, "TASKSEAL_KRYOPTIC does not name libkryoptic_pkcs11.so");
            }
        },
    };
    if let Some(folder) = env::var_os(CHILD) {
        let module = env::var_os(MODULE).expect("the parent sets it").into();
        return body(&Fixture { name: name.to_owned(), kind, folder: folder.into(), module });
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = this_program(name);
    child.env(CHILD, folder.path()).env("TASKSEAL_TEST_PIN", PIN);
    child.env(MODULE, shim::library()).env("SHIM_MODULE", &library).env("SHIM_FOLDER", folder.path());
    child.env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", folder.path().join(SOCKET).display()));
    child.envs(configure(kind, folder.path()));
    let output = |name: &str| folder.path().join(name);
    child.stdout(File::create(output("stdout")).unwrap()).stderr(File::create(output("stderr")).unwrap());
    let ended = wait_or_kill(child.spawn().unwrap());
    let [out, err] = ["stdout", "stderr"].map(|name| fs::read(output(name)).unwrap());
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    let status = ended.map_or_else(|| "killed after the time limit".to_owned(), |status| status.to_string());
    assert!(ended.is_some_and(|status| status.success()), "{name}: {status}\n{out}\n{err}");
    eprint!("{err}");
    // A name without a test would succeed.
    assert!(out.contains("1 passed"), "{name} is not the path of a test:\n{out}");
}

/// Waits for a process. Kills it after a time limit and returns `None`, because a library can block a thread forever.
fn wait_or_kill(mut child: Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + Duration::from_secs(300);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// Prints to stderr directly, because the output of tests that pass is captured.
pub(crate) fn did_not_run(name: &str, why: &str) {
    io::stderr().write_all(format!("DID NOT RUN: {name}: {why}\n").as_bytes()).unwrap();
}

/// Returns a command that runs one test of this program.
fn this_program(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--include-ignored", "--test-threads=1"]);
    command
}

/// Writes the configuration of empty tokens. Returns the environment variable with its path.
fn configure(kind: Kind, folder: &Path) -> [(&'static str, PathBuf); 1] {
    match kind {
        Kind::SoftHsm => [(softhsm::CONF_VARIABLE, softhsm::prepare(folder).unwrap())],
        Kind::Kryoptic => {
            let conf = folder.join("kryoptic.conf");
            let slots: String = (1..=2)
                .map(|slot| {
                    let store = folder.join(format!("tokens/{slot}.sql"));
                    format!(
                        "[[slots]]\nslot = {slot}\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n",
                        store.display()
                    )
                })
                .collect();
            fs::create_dir(folder.join("tokens")).unwrap();
            fs::write(&conf, slots).unwrap();
            [("KRYOPTIC_CONF", conf)]
        }
    }
}

impl Fixture {
    /// Initialises the token.
    pub(crate) fn init(&self) {
        let module = Module::load(&self.module).unwrap();
        module.init_token(LABEL, &Pin::new(SO_PIN).unwrap(), &Pin::new(PIN).unwrap()).unwrap();
    }

    pub(crate) fn uri(&self) -> TokenUri {
        let text = format!("pkcs11:token={LABEL}?pin-source=env:TASKSEAL_TEST_PIN");
        TokenUri::parse(&text).unwrap().with_module_path(&self.module)
    }

    /// Initialises and opens the token.
    pub(crate) fn open(&self, settings: Settings) -> Token {
        self.init();
        Token::open(&self.uri(), settings).unwrap()
    }

    /// Returns the role of this process; `None` in the first process of the test.
    pub(crate) fn role(&self) -> Option<String> {
        env::var(ROLE).ok()
    }

    /// Starts another process of the same test with the same tokens.
    pub(crate) fn start(&self, role: &str) -> Child {
        self.start_with(role, &[])
    }

    /// Starts another process with additional environment variables.
    pub(crate) fn start_with(&self, role: &str, environment: &[(&str, &OsStr)]) -> Child {
        this_program(&self.name).env(ROLE, role).envs(environment.iter().copied()).spawn().unwrap()
    }

    /// Runs another process of the same test and waits for it.
    pub(crate) fn run_child(&self, role: &str) {
        let status = self.start(role).wait().unwrap();
        assert!(status.success(), "{role}: {status}");
    }

    /// Requests a fault of the shim.
    pub(crate) fn fault(&self, name: &str, content: &str) {
        // Renamed, so that no thread reads a partial file.
        let (written, fault) = (self.folder.join("next-fault"), self.folder.join(name));
        fs::write(&written, content).unwrap();
        fs::rename(written, fault).unwrap();
    }

    /// Ends a fault.
    pub(crate) fn mend(&self, name: &str) {
        fs::remove_file(self.folder.join(name)).unwrap();
    }

    /// Returns whether a fault is pending or, for `hanging`, in progress.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// Returns the arguments that the shim recorded for calls of this function.
    pub(crate) fn calls(&self, function: &str) -> Vec<u64> {
        let calls = fs::read_to_string(self.folder.join("calls")).unwrap_or_default();
        let of = |line: &str| line.strip_prefix(function)?.strip_prefix(' ')?.parse().ok();
        calls.lines().filter_map(of).collect()
    }

    /// Returns the number of login attempts of the user, without those of the security officer.
    pub(crate) fn logins(&self) -> usize {
        self.calls("C_Login").into_iter().filter(|user| *user == 1).count()
    }
}

#[track_caller]
pub(crate) fn assert_defect<R: std::fmt::Debug>(result: Result<R, Error>, expected: KeyDefect) {
    assert!(
        matches!(&result, Err(Error::WrongKey(defect)) if *defect == expected),
        "{expected:?}: {result:?}"
    );
}

pub(crate) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Signs, and panics if the signature does not verify.
pub(crate) fn sign(key: &EcKey, text: &str) -> Result<(), Error> {
    let digest = digest(text);
    let signature = key.sign_digest(&digest)?;
    let verified = Software.verify_es256(&key.verifying_key()?, &digest, &signature);
    assert!(verified.is_ok(), "the signature of {text} is wrong");
    Ok(())
}

/// Repeats an attempt until it succeeds. Panics on an error that is not transient.
pub(crate) fn eventually<R>(mut attempt: impl FnMut() -> Result<R, Error>) -> R {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt() {
            Ok(result) => return result,
            Err(Error::Transient { retry_after }) => {
                thread::sleep(retry_after.min(Duration::from_millis(50)));
            }
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        assert!(Instant::now() < deadline, "it did not recover");
    }
}

/// Waits for a condition.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the name of a test from its path, which starts with the crate.
pub(crate) fn test_name(path: &'static str) -> &'static str {
    path.split_once("::").expect("a path starts with a crate").1
}

/// Defines a test for each kind of token: `softhsm::name` and `kryoptic::name`.
macro_rules! on_every_token {
    ($($name:ident),+ $(,)?) => {
        mod softhsm {
            use crate::support::{Kind, on, test_name};
            $(#[test] fn $name() { on(Kind::SoftHsm, test_name(concat!(module_path!(), "::", stringify!($name))), super::$name); })+
        }
        mod kryoptic {
            use crate::support::{Kind, on, test_name};
            $(#[test] fn $name() { on(Kind::Kryoptic, test_name(concat!(module_path!(), "::", stringify!($name))), super::$name); })+
        }
    };
}
pub(crate) use on_every_token;

/// Defines a test that needs SoftHSM: `softhsm_only::name`.
macro_rules! on_softhsm {
    ($($name:ident),+ $(,)?) => {
        mod softhsm_only {
            use crate::support::{Kind, on, test_name};
            $(#[test] fn $name() { on(Kind::SoftHsm, test_name(concat!(module_path!(), "::", stringify!($name))), super::$name); })+
        }
    };
}
pub(crate) use on_softhsm;
