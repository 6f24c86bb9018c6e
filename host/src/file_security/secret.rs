//! Files of secrets: which users may read them, and what a file of one line may contain.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use zeroize::Zeroizing;

use super::{ancestors, credential, open, text, too_long, unreadable, untrusted_owner};
use crate::file_error::FileError;

#[cfg(test)]
mod tests;

/// Maximum length of a file of secrets, in bytes.
pub const MAX_LEN: usize = 64 << 10;

/// Reads a file of secrets of at most [`MAX_LEN`] bytes into memory that is wiped. `cred:NAME` names a systemd credential.
///
/// The file belongs to root or this user. The group of a file of root may read it, if that is the group of root or one of this
/// user: so systemd and Kubernetes pass secrets to services. The group of a file of this user may not: with the umask 027 each new
/// file is readable by it, and it is often one of all users, which only the user database would tell. A credential has the mode that
/// the service manager has set on purpose: where it cannot set an access control list, it gives the file to the user of the service.
///
/// # Errors
/// [`FileError`] if it cannot be read, is not a regular file, is too long, is accessible to other users than those, or could
/// be replaced by other users through a folder above it.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    match credential::resolve(path)? {
        Cow::Borrowed(path) => read_checked(path, SecretFile::Named),
        Cow::Owned(path) => read_checked(&path, SecretFile::Credential),
    }
}

fn read_checked(path: &Path, kind: SecretFile) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let (file, metadata) = open(path)?;
    check_access(path, kind, &file, &metadata)?;
    ancestors::check(path)?;
    if metadata.len() > MAX_LEN as u64 {
        return Err(too_long(path, MAX_LEN as u64));
    }
    // Allocated once: a growing vector leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
    (&file).take(MAX_LEN as u64 + 1).read_to_end(&mut content).map_err(|error| unreadable(path, &error))?;
    if content.len() > MAX_LEN {
        return Err(too_long(path, MAX_LEN as u64));
    }
    Ok(content)
}

/// Reads a file of secrets that contains one line, such as a password. A line break at its end is not part of it.
///
/// # Errors
/// [`FileError`] as for [`read`], or if the file contains something else than one line of UTF-8: a byte order mark, a second
/// line break, or a blank at one of its ends would be sent as a part of the password.
pub fn read_line(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let content = read(path)?;
    let line = one_line(&content).map_err(|message| {
        FileError::new(path, message)
            .hint("write the secret alone into the file, as UTF-8 without a byte order mark")
    })?;
    Ok(Zeroizing::new(line.to_owned()))
}

/// Returns the one line of text that a secret contains, without a line break at its end. The error shows no part of it.
pub(crate) fn one_line(content: &[u8]) -> Result<&str, String> {
    if text::is_utf16(content) {
        return Err("the text is UTF-16".to_owned());
    }
    if content.starts_with("\u{feff}".as_bytes()) {
        return Err("a byte order mark begins the text".to_owned());
    }
    let text = std::str::from_utf8(content)
        .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to() + 1))?;
    let line = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if line.trim().is_empty() {
        return Err("empty: expected one line".to_owned());
    }
    if let Some(at) = line.find(['\n', '\r']) {
        return Err(format!(
            "a line break follows character {}; expected one line",
            line.get(..at).unwrap_or_default().chars().count()
        ));
    }
    if line.contains('\0') {
        return Err("contains a NUL".to_owned());
    }
    match (line.starts_with(char::is_whitespace), line.ends_with(char::is_whitespace)) {
        (true, _) => Err("line 1 begins with a blank".to_owned()),
        (_, true) => Err("line 1 ends with a blank".to_owned()),
        _ => Ok(line),
    }
}

/// Where a file of secrets is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecretFile {
    /// At a path.
    Named,
    /// In the folder of credentials.
    Credential,
}

/// Checks that only root, this user and their groups may read the file, and that only root and this user may write to it.
fn check_access(path: &Path, kind: SecretFile, file: &File, metadata: &Metadata) -> Result<(), FileError> {
    if let Some(owner) = untrusted_owner(metadata) {
        let message = format!("contains a secret and is owned by another user (uid {owner})");
        return Err(
            FileError::new(path, message).hint("run as its owner, or copy it and set its mode to 0600")
        );
    }
    let (mode, group) = (metadata.mode() & 0o7777, metadata.gid());
    let what = if mode & 0o037 != 0 {
        "accessible to group or others".to_owned()
    } else if mode & 0o040 == 0 {
        return Ok(());
    } else if let Err(what) = check_group(kind, metadata.uid(), group, is_own_group(group)) {
        what
    } else {
        return Ok(());
    };
    let message = format!("contains a secret and is {what} (mode {mode:04o})");
    let hint = if is_read_only(file) { RULE.to_owned() } else { format!("chmod 600 {}", path.display()) };
    Err(FileError::new(path, message).hint(hint))
}

/// Checks that the group of a file may read it. The error completes a sentence that starts with the file.
fn check_group(kind: SecretFile, owner: u32, group: u32, is_own: bool) -> Result<(), String> {
    match (owner, is_own) {
        (0, true) => Ok(()),
        (_, true) if kind == SecretFile::Credential => Ok(()),
        (_, false) if owner == 0 || kind == SecretFile::Credential => {
            Err(format!("accessible to group {group}, to which this user does not belong"))
        }
        _ => Err(format!(
            "accessible to group {group}, which is accepted only for credentials and files of root"
        )),
    }
}

/// Returns whether the group is that of root or one of this user.
fn is_own_group(group: u32) -> bool {
    let in_groups =
        || rustix::process::getgroups().is_ok_and(|all| all.iter().any(|own| own.as_raw() == group));
    group == 0 || group == rustix::process::getegid().as_raw() || in_groups()
}

/// Returns whether the file is on a file system where no mode can be changed, such as a volume of Kubernetes.
fn is_read_only(file: &File) -> bool {
    rustix::fs::fstatvfs(file).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY))
}

const RULE: &str = "mount it with mode 0400, or as root with 0440 and a group of the user that runs this (`defaultMode` and `fsGroup` in Kubernetes)";
