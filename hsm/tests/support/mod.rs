//! Tokens of a test's own: a folder, a configuration, and a process, because a library is initialised once a process
//! and reads its configuration from the environment.

// Each test program uses a part of it.
#![allow(dead_code, unused_macros)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use sha2::{Digest, Sha256};
use taskseal_core::{Provider, Software};
use taskseal_hsm::{EcKey, Error, Module, Pin, Settings, Token, TokenUri, softhsm};

pub(crate) const PIN: &str = "31415926";
pub(crate) const SO_PIN: &str = "27182818";
pub(crate) const LABEL: &str = "plant";

/// Which library stands behind a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    SoftHsm,
    Kryoptic,
}

/// What a test gets in its own process.
#[derive(Debug)]
pub(crate) struct Fixture {
    name: String,
    pub(crate) kind: Kind,
    pub(crate) folder: PathBuf,
    /// The library to open: the token's own, or the shim before it.
    pub(crate) module: PathBuf,
}

const CHILD: &str = "TASKSEAL_HSM_CHILD";
const MODULE: &str = "TASKSEAL_HSM_MODULE";
const ROLE: &str = "TASKSEAL_HSM_ROLE";

/// Runs `body` in a process of its own for one kind of token. `name` is the path of the test function.
pub(crate) fn on(kind: Kind, name: &str, body: impl FnOnce(&Fixture)) {
    let library = match kind {
        Kind::SoftHsm => softhsm::find_library().expect("install softhsm2: these tests need a real token"),
        Kind::Kryoptic => match env::var_os("TASKSEAL_KRYOPTIC") {
            Some(path) => PathBuf::from(path),
            None => {
                eprintln!("DID NOT RUN: {name}: TASKSEAL_KRYOPTIC does not name libkryoptic_pkcs11.so");
                return;
            }
        },
    };
    if let Some(folder) = env::var_os(CHILD) {
        let module = env::var_os(MODULE).expect("the parent names it").into();
        return body(&Fixture { name: name.to_owned(), kind, folder: folder.into(), module });
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = again(name);
    child.env(CHILD, folder.path()).env("TASKSEAL_TEST_PIN", PIN);
    child.env(MODULE, shim()).env("SHIM_MODULE", &library).env("SHIM_FOLDER", folder.path());
    child.envs(configure(kind, folder.path()));
    let output = child.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{out}\n{err}", output.status);
    // A test that is not there would pass.
    assert!(out.contains("1 passed"), "{name} is not the path of a test:\n{out}");
}

/// This program, for one test.
fn again(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--include-ignored", "--test-threads=1"]);
    command
}

/// The module that has faults, compiled once a process.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shim/shim.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(compiler.status().expect("install a C compiler").success(), "the shim does not compile");
        // All test programs share it; the last one to finish wins, and they are all the same.
        let shared = library.with_file_name("shim.so");
        fs::rename(&library, &shared).unwrap();
        shared
    })
}

/// The configuration of empty tokens, and the variable that points to it.
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
    /// Makes the token and leaves it.
    pub(crate) fn init(&self) {
        let module = Module::load(&self.module).unwrap();
        module.init_token(LABEL, &Pin::new(SO_PIN).unwrap(), &Pin::new(PIN).unwrap()).unwrap();
    }

    pub(crate) fn uri(&self) -> TokenUri {
        let text = format!("pkcs11:token={LABEL}?pin-source=env:TASKSEAL_TEST_PIN");
        TokenUri::parse(&text).unwrap().with_module_path(&self.module)
    }

    /// Makes the token and logs in.
    pub(crate) fn open(&self, settings: Settings) -> Token {
        self.init();
        Token::open(&self.uri(), settings).unwrap()
    }

    /// What this process is to do, if it is not the first one of its test.
    pub(crate) fn role(&self) -> Option<String> {
        env::var(ROLE).ok()
    }

    /// Another process of the same test with the same tokens.
    pub(crate) fn start(&self, role: &str) -> Child {
        again(&self.name).env(ROLE, role).spawn().unwrap()
    }

    /// Another process that does something and is done.
    pub(crate) fn elsewhere(&self, role: &str) {
        let status: ExitStatus = self.start(role).wait().unwrap();
        assert!(status.success(), "{role}: {status}");
    }

    /// Brings a fault about.
    pub(crate) fn fault(&self, name: &str, content: &str) {
        // At once, so that a thread never sees half of it.
        let (written, place) = (self.folder.join("next-fault"), self.folder.join(name));
        fs::write(&written, content).unwrap();
        fs::rename(written, place).unwrap();
    }

    /// Ends a fault.
    pub(crate) fn mend(&self, name: &str) {
        fs::remove_file(self.folder.join(name)).unwrap();
    }

    /// Whether the fault has happened or is happening.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// What the shim wrote down of these calls.
    pub(crate) fn calls(&self, function: &str) -> Vec<u64> {
        let calls = fs::read_to_string(self.folder.join("calls")).unwrap_or_default();
        let of = |line: &str| line.strip_prefix(function)?.strip_prefix(' ')?.parse().ok();
        calls.lines().filter_map(of).collect()
    }

    /// How often the user was logged in, or tried to be. The security officer does not count.
    pub(crate) fn logins(&self) -> usize {
        self.calls("C_Login").into_iter().filter(|user| *user == 1).count()
    }
}

pub(crate) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Signs, and panics if what comes back does not verify.
pub(crate) fn sign(key: &EcKey, text: &str) -> Result<(), Error> {
    let digest = digest(text);
    let signature = key.sign_digest(&digest)?;
    let verified = Software.verify_es256(&key.verifying_key().unwrap(), &digest, &signature);
    assert!(verified.is_ok(), "the signature over {text} is wrong");
    Ok(())
}

/// Tries until it works; an error that does not go away by itself ends the test.
pub(crate) fn eventually<R>(mut attempt: impl FnMut() -> Result<R, Error>) -> R {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt() {
            Ok(result) => return result,
            Err(Error::Transient { retry_after }) => thread::sleep(retry_after.min(Duration::from_millis(50))),
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        assert!(Instant::now() < deadline, "it did not recover");
    }
}

/// Waits for a condition.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// One test for each kind of token: `softhsm::name`, `kryoptic::name`.
macro_rules! on_every_token {
    ($($name:ident),+ $(,)?) => {
        mod softhsm {
            use crate::support::{Kind, on};
            $(#[test] fn $name() { on(Kind::SoftHsm, concat!("softhsm::", stringify!($name)), super::$name); })+
        }
        mod kryoptic {
            use crate::support::{Kind, on};
            $(#[test] fn $name() { on(Kind::Kryoptic, concat!("kryoptic::", stringify!($name)), super::$name); })+
        }
    };
}
pub(crate) use on_every_token;
