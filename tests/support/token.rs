//! A private PKCS#11 token for a test: SoftHSM or kryoptic, behind a module that injects faults.
//!
//! A PKCS#11 library is initialised once a process and reads its configuration from the environment. Each test
//! therefore runs in a child process with its own folder and environment. [`TokenFolder`](crate::token_folder) is for
//! tests of other programs, which need no child process.
//!
//! This file uses `crate::rerun` and nothing else of this crate, so that the tests of `taskseal-hsm` can include both
//! by `#[path]`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, missing_docs)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::{Session as RawSession, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use taskseal_hsm::{Module, Pin, Settings, Token, TokenUri, softhsm};

use crate::rerun::rerun;

pub const PIN: &str = "31415926";
pub const SO_PIN: &str = "27182818";
/// Label of the token.
pub const LABEL: &str = "plant";

/// A PKCS#11 library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SoftHsm,
    Kryoptic,
}

/// What a test gets in its child process.
#[derive(Debug)]
pub struct Fixture {
    /// The path of the test, for [`rerun`].
    name: String,
    pub kind: Kind,
    pub folder: PathBuf,
    /// The library to open: the shim in front of the token's own library.
    pub module: PathBuf,
}

/// Name of the socket of p11-kit in the folder of the test.
pub const SOCKET: &str = "p11-kit.sock";

const CHILD: &str = "TASKSEAL_HSM_CHILD";
const MODULE: &str = "TASKSEAL_HSM_MODULE";
const ROLE: &str = "TASKSEAL_HSM_ROLE";

/// Runs `body` in a child process with one kind of token. `name` is the path of the test, from
/// [`test_path!`](crate::test_path).
pub fn on(kind: Kind, name: &str, body: impl FnOnce(&Fixture)) {
    let Some(library) = library_of(kind) else {
        return report_skipped(name, "TASKSEAL_KRYOPTIC does not name libkryoptic_pkcs11.so");
    };
    if let Some(folder) = env::var_os(CHILD) {
        let module = env::var_os(MODULE).expect("the parent names it").into();
        return body(&Fixture { name: name.to_owned(), kind, folder: folder.into(), module });
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = rerun(name);
    child.env(CHILD, folder.path()).env("TASKSEAL_TEST_PIN", PIN);
    child.env(MODULE, shim()).env("SHIM_MODULE", &library).env("SHIM_FOLDER", folder.path());
    child.env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", folder.path().join(SOCKET).display()));
    child.envs(configure(kind, folder.path()));
    run_to_the_end(name, child, folder.path());
}

/// The library of a kind of token; `None` if it is not there and the test can be skipped.
fn library_of(kind: Kind) -> Option<PathBuf> {
    match kind {
        Kind::SoftHsm => {
            let library = softhsm::find_library();
            assert!(library.is_some(), "install softhsm2: these tests need a real token");
            library
        }
        Kind::Kryoptic => env::var_os("TASKSEAL_KRYOPTIC").filter(|path| !path.is_empty()).map(PathBuf::from),
    }
}

/// Runs the child process and panics with its output unless its test passed.
fn run_to_the_end(name: &str, mut child: Command, folder: &Path) {
    let file = |name: &str| folder.join(name);
    child.stdout(File::create(file("stdout")).unwrap()).stderr(File::create(file("stderr")).unwrap());
    let ended = wait_or_kill(child.spawn().unwrap());
    let [out, err] = ["stdout", "stderr"].map(|name| fs::read(file(name)).unwrap());
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    let status = ended.map_or_else(|| "still running, so killed".to_owned(), |status| status.to_string());
    assert!(ended.is_some_and(|status| status.success()), "{name}: {status}\n{out}\n{err}");
    eprint!("{err}");
    // A filter that matches no test passes as well.
    assert!(out.contains("1 passed"), "{name} is not the path of a test:\n{out}");
}

/// Returns how a process ended. Kills it after 5 minutes, because a library can block a thread indefinitely.
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

/// Reports a skipped test. Writes past the capture of output, which hides what passing tests print.
pub fn report_skipped(name: &str, reason: &str) {
    io::stderr().write_all(format!("DID NOT RUN: {name}: {reason}\n").as_bytes()).unwrap();
}

/// The module that injects faults, compiled once a process.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        // Beside the test program, in the folder of what cargo builds.
        let program = env::current_exe().unwrap();
        let folder = program.parent().unwrap();
        let [source, library] =
            ["c", "so"].map(|ending| folder.join(format!("shim-{}.{ending}", std::process::id())));
        fs::write(&source, include_str!("../../hsm/tests/shim/shim.c")).unwrap();
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(&source)
            .args(["-ldl", "-lpthread"]);
        assert!(compiler.status().expect("install a C compiler").success(), "the shim does not compile");
        // All test programs share one file. They write the same content, so the order does not matter.
        fs::remove_file(source).unwrap();
        let shared = library.with_file_name("shim.so");
        fs::rename(&library, &shared).unwrap();
        shared
    })
}

/// Writes the configuration of empty tokens; returns the variable that names it.
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
    pub fn init(&self) {
        let module = Module::load(&self.module).unwrap();
        module.init_token(LABEL, &Pin::new(SO_PIN).unwrap(), &Pin::new(PIN).unwrap()).unwrap();
    }

    #[must_use]
    pub fn uri(&self) -> TokenUri {
        let text = format!("pkcs11:token={LABEL}?pin-source=env:TASKSEAL_TEST_PIN");
        TokenUri::parse(&text).unwrap().with_module_path(&self.module)
    }

    /// Initialises the token and logs in.
    #[must_use]
    pub fn open(&self, settings: Settings) -> Token {
        self.init();
        Token::open(&self.uri(), settings).unwrap()
    }

    /// The library without `taskseal-hsm`, and the slot of the token.
    #[must_use]
    pub fn raw(&self) -> (Pkcs11, Slot) {
        raw(&self.module)
    }

    /// A read-write session without `taskseal-hsm`, logged in.
    #[must_use]
    pub fn raw_session(&self) -> RawSession {
        raw_session(&self.module)
    }

    /// The role of this process; `None` in the first process of the test.
    #[must_use]
    pub fn role(&self) -> Option<String> {
        env::var(ROLE).ok()
    }

    /// Starts another process of the same test with the same tokens.
    #[must_use]
    pub fn start(&self, role: &str) -> Child {
        self.start_with(role, &[])
    }

    /// Does the same with more variables in the environment.
    #[must_use]
    pub fn start_with(&self, role: &str, environment: &[(&str, &OsStr)]) -> Child {
        rerun(&self.name).env(ROLE, role).envs(environment.iter().copied()).spawn().unwrap()
    }

    /// Runs another process of the same test to its end.
    pub fn elsewhere(&self, role: &str) {
        let status: ExitStatus = self.start(role).wait().unwrap();
        assert!(status.success(), "{role}: {status}");
    }

    /// Injects a fault.
    pub fn fault(&self, name: &str, content: &str) {
        // Written and renamed, so that no thread reads a half-written file.
        let (written, place) = (self.folder.join("next-fault"), self.folder.join(name));
        fs::write(&written, content).unwrap();
        fs::rename(written, place).unwrap();
    }

    /// Ends a fault.
    pub fn mend(&self, name: &str) {
        fs::remove_file(self.folder.join(name)).unwrap();
    }

    /// Returns whether the fault has occurred or is active.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// The arguments that the shim recorded for the calls of this function.
    #[must_use]
    pub fn calls(&self, function: &str) -> Vec<u64> {
        let calls = fs::read_to_string(self.folder.join("calls")).unwrap_or_default();
        let of = |line: &str| line.strip_prefix(function)?.strip_prefix(' ')?.parse().ok();
        calls.lines().filter_map(of).collect()
    }

    /// Number of logins and attempted logins of the user. Those of the security officer do not count.
    #[must_use]
    pub fn logins(&self) -> usize {
        self.calls("C_Login").into_iter().filter(|user| *user == 1).count()
    }
}

/// A library without `taskseal-hsm`, and the slot of its first token with the label [`LABEL`].
#[must_use]
pub fn raw(library: &Path) -> (Pkcs11, Slot) {
    let pkcs11 = Pkcs11::new(library).unwrap();
    // It fails if the library is initialised already, which holds for the whole process.
    let _ = pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slots = pkcs11.get_slots_with_token().unwrap();
    let labelled = |slot: &Slot| pkcs11.get_token_info(*slot).is_ok_and(|info| info.label() == LABEL);
    let slot = slots.into_iter().find(labelled).unwrap();
    (pkcs11, slot)
}

/// A read-write session of this token, logged in.
#[must_use]
pub fn raw_session(library: &Path) -> RawSession {
    let (pkcs11, slot) = raw(library);
    let session = pkcs11.open_rw_session(slot).unwrap();
    // It fails if another session of this process is logged in already, which holds for all of them.
    let _ = session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned())));
    session
}

/// Defines one test for each kind of token: `softhsm::name` and `kryoptic::name`.
#[macro_export]
macro_rules! on_every_token {
    ($($name:ident),+ $(,)?) => {
        mod softhsm {
            $(#[test] fn $name() {
                $crate::token::on($crate::token::Kind::SoftHsm, $crate::test_path!($name), super::$name);
            })+
        }
        mod kryoptic {
            $(#[test] fn $name() {
                $crate::token::on($crate::token::Kind::Kryoptic, $crate::test_path!($name), super::$name);
            })+
        }
    };
}
