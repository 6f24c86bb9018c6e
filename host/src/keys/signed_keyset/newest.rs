//! Chooses the newest of several keysets that verify.

use taskseal_core::TimeWindow;
use taskseal_core::keyset::signed::{
    Checkpoint, KeysetRefusal, MAX_ENTRIES, PinnedRoots, UnverifiedKeyset, VerifiedKeyset,
};

use super::error::KeysetError;
use crate::keys::error::KeyringError;
use crate::time::UnixMillis;
use crate::time::rfc3339;

/// A keyset from one source. `content` is `None` if the source need not have one.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) origin: String,
    pub(super) content: Option<Result<Vec<u8>, KeyringError>>,
    pub(super) source: Source,
}

/// A source of keysets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The file that the configuration names.
    File,
    /// The copy of the last keyset, which is replaced after each load.
    Copy,
    /// The second carrier, from which newer keysets are expected.
    Carrier,
}

/// A verified keyset of any size.
pub(super) type Keyset<'b> = Box<VerifiedKeyset<'b, MAX_ENTRIES>>;

/// The newest keyset, its bytes, and why others were not used.
#[derive(Debug)]
pub(super) struct Verified<'b> {
    pub(super) keyset: Keyset<'b>,
    pub(super) bytes: &'b [u8],
    pub(super) refused: Vec<KeyringError>,
    /// The first of them that an operator must mend.
    pub(super) source_fault: Option<KeyringError>,
}

/// Verifies each candidate against the checkpoint `last` at the Unix time `now`, in seconds, and returns the newest. Fails with the
/// error of the first candidate that has one if none verifies, and if two of them are a fork.
pub(super) fn find<'b>(
    candidates: &'b [Candidate],
    roots: &PinnedRoots<'_>,
    last: Option<&Checkpoint>,
    now: u64,
) -> Result<Verified<'b>, KeyringError> {
    let (mut newest, mut refused) = (None, Vec::new());
    for Candidate { origin, content, source } in candidates {
        let bytes = match content {
            None => continue,
            Some(Err(error)) => {
                refused.push((*source, error.clone()));
                continue;
            }
            Some(Ok(bytes)) => bytes,
        };
        match verify(origin, bytes, roots, last, now) {
            Ok(keyset) => {
                let found = (keyset, origin.as_str(), bytes.as_slice());
                newest = Some(match newest {
                    None => found,
                    Some(other) => newer(other, found, roots, now)?,
                });
            }
            Err(error) => refused.push((*source, error.into())),
        }
    }
    match newest {
        Some((keyset, _, bytes)) => {
            // A file or a copy is not replaced when a newer keyset arrives. A carrier that returns an older one withholds a newer one.
            refused.retain(|(source, error)| *source == Source::Carrier || !is_older(error));
            let source_fault =
                refused.iter().find(|(source, _)| *source != Source::Copy).map(|(_, error)| error.clone());
            let refused = refused.into_iter().map(|(_, error)| error).collect();
            Ok(Verified { keyset, bytes, refused, source_fault })
        }
        None if refused.is_empty() => Err(KeysetError::unavailable("keyset", "no source has one").into()),
        None => Err(refused.swap_remove(0).1),
    }
}

/// A keyset, where it was found, and its bytes.
type Found<'b> = (Keyset<'b>, &'b str, &'b [u8]);

/// Returns the newer of two keysets, which must be of one history.
fn newer<'b>(
    one: Found<'b>,
    other: Found<'b>,
    roots: &PinnedRoots<'_>,
    now: u64,
) -> Result<Found<'b>, KeyringError> {
    let (older, newer) = if one.0.sequence() <= other.0.sequence() { (one, other) } else { (other, one) };
    // With the older one as the last that was seen, the verification of the newer one compares their histories.
    match verify(newer.1, newer.2, roots, Some(&older.0.checkpoint()), now) {
        Ok(_) => Ok(newer),
        Err(error) => Err(error.into()),
    }
}

fn is_older(error: &KeyringError) -> bool {
    matches!(error, KeyringError::Keyset(error) if error.refusal() == Some(KeysetRefusal::RolledBack))
}

/// Verifies one keyset.
fn verify<'b>(
    origin: &str,
    bytes: &'b [u8],
    roots: &PinnedRoots<'_>,
    last: Option<&Checkpoint>,
    now: u64,
) -> Result<Keyset<'b>, KeysetError> {
    let refused = |refusal, detail: &str| KeysetError::refused(origin, refusal, detail);
    let unverified = UnverifiedKeyset::parse(bytes).map_err(|refusal| refused(refusal, ""))?;
    let verified = unverified.verify(roots, last, &mut TimeWindow::exact(now));
    verified.map(Box::new).map_err(|refusal| refused(refusal, &detail(unverified, roots, last, refusal, now)))
}

/// Returns the values behind a refusal. Before the signature is verified, the keyset states nothing that can be relied on but the
/// root that it names.
fn detail(
    keyset: UnverifiedKeyset<'_>,
    roots: &PinnedRoots<'_>,
    last: Option<&Checkpoint>,
    refusal: KeysetRefusal,
    now: u64,
) -> String {
    let head = || keyset.danger_verify_without_clock::<MAX_ENTRIES>(roots, last).ok();
    match (refusal, last) {
        (KeysetRefusal::UnknownRoot, _) => format!("root {}", keyset.root()),
        (KeysetRefusal::WrongName, _) => format!("expected `{}`", roots.name().as_str()),
        (KeysetRefusal::RolledBack | KeysetRefusal::Forked, Some(last)) => {
            // The signature has been verified before these checks.
            let sequence = keyset.danger_sequence_unverified();
            format!("sequence {sequence}, and this host has used {}", last.sequence())
        }
        (KeysetRefusal::IssuedInFuture, _) => head().map_or_else(String::new, |head| {
            format!("at {}, and the clock of this host shows {}", shown(head.issued_at()), shown(now))
        }),
        (KeysetRefusal::Expired, _) => head().map_or_else(String::new, |head| {
            format!("at {}, and the clock of this host shows {}", shown(head.not_after()), shown(now))
        }),
        _ => String::new(),
    }
}

/// Returns a Unix time in the form of RFC 3339.
pub(in crate::keys) fn shown(seconds: u64) -> String {
    let time = UnixMillis::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    rfc3339::format(time).unwrap_or_else(|| format!("{seconds} s since 1970"))
}
