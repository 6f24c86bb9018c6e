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
    /// Whether it is the second carrier, from which newer keysets are expected.
    pub(super) is_carrier: bool,
}

/// A verified keyset of any size.
pub(super) type Keyset<'b> = Box<VerifiedKeyset<'b, MAX_ENTRIES>>;

/// The newest keyset, its bytes, and why others were not used.
#[derive(Debug)]
pub(super) struct Verified<'b> {
    pub(super) keyset: Keyset<'b>,
    pub(super) bytes: &'b [u8],
    pub(super) refused: Vec<KeyringError>,
    pub(super) carrier_fault: Option<KeyringError>,
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
    for Candidate { origin, content, is_carrier } in candidates {
        let bytes = match content {
            None => continue,
            Some(Err(error)) => {
                refused.push((*is_carrier, error.clone()));
                continue;
            }
            Some(Ok(bytes)) => bytes,
        };
        match verify(origin, bytes, roots, last, now) {
            Ok(keyset) => {
                let pair = (keyset, bytes.as_slice());
                newest = Some(match newest {
                    None => pair,
                    Some(other) => newer(origin, other, pair, roots, now)?,
                });
            }
            Err(error) => refused.push((*is_carrier, error.into())),
        }
    }
    match newest {
        Some((keyset, bytes)) => {
            // A file or a copy is not replaced when a newer keyset arrives. A carrier that returns an older one withholds a newer one.
            refused.retain(|(is_carrier, error)| *is_carrier || !is_older(error));
            let carrier_fault =
                refused.iter().find(|(is_carrier, _)| *is_carrier).map(|(_, error)| error.clone());
            let refused = refused.into_iter().map(|(_, error)| error).collect();
            Ok(Verified { keyset, bytes, refused, carrier_fault })
        }
        None if refused.is_empty() => Err(KeysetError::unavailable("keyset", "no source has one").into()),
        None => Err(refused.swap_remove(0).1),
    }
}

type Pair<'b> = (Keyset<'b>, &'b [u8]);

/// Returns the newer of two keysets, which must be of one history.
fn newer<'b>(
    origin: &str,
    one: Pair<'b>,
    other: Pair<'b>,
    roots: &PinnedRoots<'_>,
    now: u64,
) -> Result<Pair<'b>, KeyringError> {
    let (older, newer) = if one.0.sequence() <= other.0.sequence() { (one, other) } else { (other, one) };
    // With the older one as the last that was seen, the verification of the newer one compares their histories.
    match verify(origin, newer.1, roots, Some(&older.0.checkpoint()), now) {
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
