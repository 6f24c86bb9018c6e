//! Signed keysets in files: reading and verification.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde_json::json;
use taskseal::file_error::FileError;
use taskseal::keys::KeysetError;
use taskseal::time::UnixMillis;
use taskseal_core::TimeWindow;
use taskseal_core::keyset::signed::{
    Checkpoint, KeysetRefusal, MAX_ENTRIES, MAX_KEYSET, PinnedRoots, UnverifiedKeyset, VerifiedKeyset,
};

use crate::failure::Failure;
use crate::output::json::{Member, hex};
use crate::time_arg;

/// A verified keyset of any size.
pub(super) type Verified<'b> = Box<VerifiedKeyset<'b, MAX_ENTRIES>>;

/// Reads a signed keyset.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_if_present(path)?.ok_or_else(|| {
        let error = FileError::io(path, "cannot be read", &io::ErrorKind::NotFound.into());
        Failure::file(error).hint("`taskseal keyset sign` creates signed keysets")
    })
}

/// Reads a signed keyset; `None` if there is no such file.
pub(super) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that a longer file is refused as too large.
    let read = fs::File::open(path).and_then(|file| file.take(MAX_KEYSET as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file(FileError::io(path, "cannot be read", &error))),
    }
}

/// Verifies a keyset as a host does, at `now` in seconds of Unix time.
pub(super) fn verify<'b>(
    path: &Path,
    bytes: &'b [u8],
    roots: &PinnedRoots<'_>,
    last: Option<&Checkpoint>,
    now: u64,
) -> Result<Verified<'b>, Failure> {
    let verified = UnverifiedKeyset::parse(bytes)
        .and_then(|keyset| keyset.verify(roots, last, &mut TimeWindow::exact(now)).map(Box::new));
    verified.map_err(|refusal| refused(path, refusal))
}

/// Verifies everything but the time: what is continued may have expired.
pub(super) fn verify_at_any_time<'b>(
    path: &Path,
    bytes: &'b [u8],
    roots: &PinnedRoots<'_>,
) -> Result<Verified<'b>, Failure> {
    let verified = UnverifiedKeyset::parse(bytes)
        .and_then(|keyset| keyset.danger_verify_without_clock(roots, None).map(Box::new));
    verified.map_err(|refusal| refused(path, refusal))
}

/// Exit code 3, with the code of the refusal.
pub(super) fn refused(path: &Path, refusal: KeysetRefusal) -> Failure {
    Failure::keyring(KeysetError::of_refusal(path, refusal).into())
}

/// Returns the members that describe a keyset as a whole.
pub(super) fn members(keyset: &Verified<'_>) -> Vec<Member> {
    vec![
        ("name", json!(keyset.name().as_str())),
        ("sequence", json!(keyset.sequence())),
        ("issued_at", json!(shown(keyset.issued_at()))),
        ("not_after", json!(shown(keyset.not_after()))),
        ("root", json!(keyset.root().to_string())),
        ("digest", json!(hex(keyset.checkpoint().digest()))),
    ]
}

/// Returns a warning if less than a third of the time in force is left.
pub(super) fn expiry_warning(keyset: &Verified<'_>, now: u64) -> Option<String> {
    let lifetime = keyset.not_after().saturating_sub(keyset.issued_at());
    let left = keyset.not_after().saturating_sub(now);
    let message = format!(
        "keyset {} is in force until {} only: sign the next one with `taskseal keyset sign`",
        keyset.sequence(),
        shown(keyset.not_after())
    );
    (left < lifetime / 3).then_some(message)
}

/// Returns a Unix time in the form of RFC 3339.
pub(super) fn shown(seconds: u64) -> String {
    time_arg::show(UnixMillis::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
}
