//! Tokens of a test's own: a folder, a configuration, and a process, because a library is initialised once a process
//! and reads its configuration from the environment.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use taskseal_hsm::{Module, Pin, Settings, Token, TokenUri, softhsm};

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
pub(crate) struct Fixture {
    pub(crate) kind: Kind,
    pub(crate) folder: PathBuf,
    /// The library to open: the token's own, or the shim before it.
    pub(crate) module: PathBuf,
}

const CHILD: &str = "TASKSEAL_HSM_CHILD";

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
        let module = env::var_os("TASKSEAL_HSM_MODULE").expect("the parent names it").into();
        return body(&Fixture { kind, folder: folder.into(), module });
    }
    let folder = tempfile::tempdir().unwrap();
    let (module, settings) = configure(kind, folder.path(), &library);
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture", "--include-ignored", "--test-threads=1"]);
    child.env(CHILD, folder.path()).env("TASKSEAL_HSM_MODULE", &module).env("TASKSEAL_TEST_PIN", PIN);
    child.envs(settings);
    let output = child.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} on {kind:?}: {}\n{out}\n{err}", output.status);
    // A test that is not there would pass.
    assert!(out.contains("1 passed"), "{name} is not the path of a test:\n{out}");
}

/// The configuration of an empty token, and the variables that point to it.
fn configure(kind: Kind, folder: &Path, library: &Path) -> (PathBuf, Vec<(String, PathBuf)>) {
    let mut variables = Vec::new();
    match kind {
        Kind::SoftHsm => {
            let conf = softhsm::prepare(folder).unwrap();
            variables.push((softhsm::CONF_VARIABLE.to_owned(), conf));
        }
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
            std::fs::create_dir(folder.join("tokens")).unwrap();
            std::fs::write(&conf, slots).unwrap();
            variables.push(("KRYOPTIC_CONF".to_owned(), conf));
        }
    }
    (library.to_owned(), variables)
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
}

/// One test for each kind of token: `mod softhsm`, `mod kryoptic`.
#[macro_export]
macro_rules! on_every_token {
    ($($name:ident => $body:path),+ $(,)?) => {
        mod softhsm {
            $(#[test] fn $name() {
                $crate::support::on($crate::support::Kind::SoftHsm, concat!("softhsm::", stringify!($name)), $body);
            })+
        }
        mod kryoptic {
            $(#[test] fn $name() {
                $crate::support::on($crate::support::Kind::Kryoptic, concat!("kryoptic::", stringify!($name)), $body);
            })+
        }
    };
}
