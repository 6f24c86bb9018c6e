//! Credentials of systemd: `cred:NAME` is the file of that name in the folder that `CREDENTIALS_DIRECTORY` names.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::file_error::FileError;

/// Resolves the text of a configuration field that names a file of secrets: a path, relative to the folder of `file`, or
/// `cred:NAME`. A path that starts with `cred:` is written `./cred:NAME`.
///
/// A credential is looked up when it is read, because commands that do not need it run outside its service.
pub(crate) fn secret_path(file: &Path, text: &str) -> PathBuf {
    if text.starts_with(SCHEME) {
        return PathBuf::from(text);
    }
    file.parent().unwrap_or(Path::new("")).join(text)
}

/// Returns the path of the file that `path` names, which may be `cred:NAME`.
pub(super) fn resolve(path: &Path) -> Result<Cow<'_, Path>, FileError> {
    resolve_in(path, std::env::var_os(VARIABLE).as_deref())
}

fn resolve_in<'p>(path: &'p Path, folder: Option<&OsStr>) -> Result<Cow<'p, Path>, FileError> {
    let Some(name) = path.to_str().and_then(|path| path.strip_prefix(SCHEME)) else {
        return Ok(Cow::Borrowed(path));
    };
    if !is_name(name) {
        return Err(FileError::new(path, "not the name of a credential")
            .hint("write `cred:NAME` with the NAME of `LoadCredential=NAME:PATH`; a path starts with `./`"));
    }
    match folder.filter(|folder| !folder.is_empty()) {
        Some(folder) => Ok(Cow::Owned(Path::new(folder).join(name))),
        None => Err(FileError::new(path, format!("{VARIABLE} is not set")).hint(
            "systemd sets it for services with `LoadCredential=`; outside of a service, name the file itself",
        )),
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=255).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed)
}

const SCHEME: &str = "cred:";
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_outside_of_its_folder_or_without_a_folder_is_refused() {
        for name in ["cred:", "cred:../key", "cred:.key", "cred:a/b", "cred:/etc/shadow", "cred:a b"] {
            let error = resolve_in(Path::new(name), Some(OsStr::new("/run/credentials/x"))).unwrap_err();
            assert_eq!(error.message, "not the name of a credential", "{name}");
        }
        for folder in [None, Some(OsStr::new(""))] {
            let error = resolve_in(Path::new("cred:key"), folder).unwrap_err();
            assert_eq!(error.to_string(), "cred:key: CREDENTIALS_DIRECTORY is not set");
        }
    }

    #[test]
    fn credential_is_the_file_of_its_name_and_other_texts_are_paths() {
        let config = Path::new("/etc/taskseal/taskseal.toml");
        let resolved = |text| {
            let path = secret_path(config, text);
            resolve_in(&path, Some(OsStr::new("/run/credentials/x"))).unwrap().into_owned()
        };
        assert_eq!(resolved("cred:producer.key"), Path::new("/run/credentials/x/producer.key"));
        assert_eq!(resolved("producer.key"), Path::new("/etc/taskseal/producer.key"));
        assert_eq!(resolved("./cred:key"), Path::new("/etc/taskseal/./cred:key"));
        assert_eq!(resolved("/a/cred:key"), Path::new("/a/cred:key"));
    }
}
