//! A private SoftHSM for programs that a test starts: a folder with tokens, a configuration and a PIN file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::missing_panics_doc)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cryptoki::object::{Attribute, KeyType, ObjectClass};
use taskseal_hsm::softhsm;
use tempfile::TempDir;

use crate::token::{LABEL, PIN, SO_PIN, raw_session};

/// Label, kid and secret of the key that a child process imports.
const IMPORT: &str = "TASKSEAL_TEST_IMPORT";

/// A folder with tokens, deleted when dropped.
#[derive(Debug)]
pub struct TokenFolder {
    folder: TempDir,
    conf: PathBuf,
    library: PathBuf,
}

impl TokenFolder {
    /// Creates one empty token with the label [`LABEL`], and the file `pin`.
    #[must_use]
    pub fn new() -> Self {
        let library = softhsm::find_library().expect("install softhsm2: these tests need a real token");
        let folder = tempfile::tempdir().unwrap();
        let conf = softhsm::prepare(folder.path()).unwrap();
        let tokens = Self { folder, conf, library };
        tokens.add_token(LABEL);
        fs::write(tokens.path("pin"), PIN).unwrap();
        fs::set_permissions(tokens.path("pin"), Permissions::from_mode(0o600)).unwrap();
        tokens
    }

    /// Creates another token.
    pub fn add_token(&self, label: &str) {
        let status = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN])
            .envs(self.environment())
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("install softhsm2: these tests need a real token").success());
    }

    /// Path of the folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Path of a file in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Path of the PKCS#11 library.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// The variable that makes the library of a program use these tokens.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &Path); 1] {
        [(softhsm::CONF_VARIABLE, &self.conf)]
    }

    /// The URI with these path attributes, the library and the PIN file.
    #[must_use]
    pub fn uri(&self, attributes: &str) -> String {
        let (library, pin) = (self.library.display(), self.path("pin"));
        format!("pkcs11:{attributes}?module-path={library}&pin-source=file:{}", pin.display())
    }

    /// Imports an HMAC key into the token, as the tools of a token do.
    ///
    /// The library reads its configuration from the environment, so a child process does this: `child` runs a test that
    /// calls [`import_requested`].
    pub fn import_mac(&self, child: &mut Command, label: &str, kid: &str, secret: &[u8]) {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let output =
            child.envs(self.environment()).env(IMPORT, format!("{label} {kid} {hex}")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // A filter that matches no test passes as well.
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    }
}

impl Default for TokenFolder {
    fn default() -> Self {
        Self::new()
    }
}

/// Imports the key that [`TokenFolder::import_mac`] gave this process; does nothing in any other process.
pub fn import_requested() {
    let Ok(request) = std::env::var(IMPORT) else { return };
    let words: Vec<&str> = request.split(' ').collect();
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
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
    raw_session(&softhsm::find_library().unwrap()).create_object(&template).unwrap();
}
