//! Private software tokens: SoftHSM 2 with a separate configuration, for demonstrations and tests.
//!
//! SoftHSM reads the environment variable [`CONF_VARIABLE`] when it is initialised. A process cannot change its own
//! environment safely. Start a child process instead, with the variable set to the path that [`prepare`] returns, and
//! call [`Module::init_token`](crate::Module::init_token) there.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The environment variable with the path of SoftHSM's configuration.
pub const CONF_VARIABLE: &str = "SOFTHSM2_CONF";

/// Paths at which distributions install the library.
const LIBRARIES: [&str; 9] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/opt/softhsm/lib/softhsm/libsofthsm2.so",
];

/// Returns the path of the library; `None` if it is not installed at a usual path.
#[must_use]
pub fn find_library() -> Option<PathBuf> {
    LIBRARIES.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Creates a configuration and an empty folder for tokens inside `folder`, which must exist and should be private.
/// Existing ones are kept. Returns the value for [`CONF_VARIABLE`].
///
/// # Errors
/// [`Error::Config`] if the folder cannot be written, or if the configuration cannot represent its path.
pub fn prepare(folder: &Path) -> Result<PathBuf, Error> {
    let unusable = |_| Error::Config("cannot write to the folder of the software token");
    let folder = fs::canonicalize(folder).map_err(unusable)?;
    let tokens = folder.join("tokens");
    let path = tokens.to_str().filter(|path| !path.chars().any(char::is_control));
    let path =
        path.ok_or(Error::Config("the path of the software token must be UTF-8 without control characters"))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&tokens).map_err(unusable)?;
    let conf = folder.join("softhsm2.conf");
    if !conf.exists() {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&conf).map_err(unusable)?;
        let lines = format!(
            "directories.tokendir = {path}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
        );
        file.write_all(lines.as_bytes()).map_err(unusable)?;
    }
    Ok(conf)
}
