//! A token of one's own: SoftHSM with an empty folder of tokens, and a project with its keys in one of them.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use taskseal_hsm::softhsm;

use super::project::{Run, run_with_environment};

pub(crate) const PIN: &str = "31415926";

/// What a process is to import: label, kid and secret.
const IMPORT: &str = "TASKSEAL_TEST_IMPORT";

/// Whether this process was started by [`TokenFolder::import_mac`]; does what it was started for.
pub(crate) fn is_importing() -> bool {
    let Ok(what) = env::var(IMPORT) else { return false };
    let words: Vec<&str> = what.split(' ').collect();
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let pkcs11 = Pkcs11::new(softhsm::find_library().unwrap()).unwrap();
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slots = pkcs11.get_slots_with_token().unwrap();
    let labelled = slots.into_iter().find(|slot| pkcs11.get_token_info(*slot).unwrap().label() == "plant");
    let session = pkcs11.open_rw_session(labelled.unwrap()).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned()))).unwrap();
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Derive(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Label(words[0].into()),
        Attribute::Id(bytes(words[1])),
        Attribute::Value(bytes(words[2])),
    ];
    session.create_object(&template).unwrap();
    true
}

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

    pub(crate) fn spawn_in(&self, dir: &Path, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_taskseal"))
            .args(arguments)
            .current_dir(dir)
            .env_remove("TASKSEAL_CONFIG")
            .env_remove("TASKSEAL_PKCS11_MODULE")
            .env_remove("TASKSEAL_PKCS11_PIN_SOURCE")
            .env(softhsm::CONF_VARIABLE, &self.conf)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
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

    /// Puts an HMAC key that others have too into the token, as its own tools do: in a process of the test's own, because a
    /// library reads its configuration from the environment. There, `test` calls [`is_importing`] first.
    pub(crate) fn import_mac(&self, test: &str, label: &str, kid: &str, secret: &[u8]) {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let imported = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(softhsm::CONF_VARIABLE, &self.conf)
            .env(IMPORT, format!("{label} {kid} {hex}"))
            .output()
            .unwrap();
        assert!(imported.status.success(), "{imported:?}");
        // A test that is not there would pass.
        assert!(String::from_utf8_lossy(&imported.stdout).contains("1 passed"), "{imported:?}");
    }

    /// A project with its keys in the token.
    pub(crate) fn project(&self) -> PathBuf {
        self.run(&["init", "project", "--pkcs11", &self.uri("token=plant")]).ok();
        self.path("project")
    }
}
