//! Tests one key of a token by using it.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use taskseal::keys::public_text;
use taskseal_hsm::{EcKey, Error, KeyDescription, KeyKind, MacKey, Token, Usage, WrappingKey};

/// How long signatures are counted.
const MEASURING_TIME: Duration = Duration::from_secs(1);
/// Maximum number of signatures in a measurement.
const MAX_SIGNATURES: u32 = 2000;

/// A key and the result of its test.
pub(super) struct KeyTest {
    pub(super) key: KeyDescription,
    pub(super) outcome: Result<Answer, Error>,
}

/// What the test of a usable key found.
#[derive(Default)]
pub(super) struct Answer {
    /// The public key, of a key pair.
    pub(super) public: Option<String>,
    /// Signatures a second, of a key that signs.
    pub(super) signatures_per_second: Option<f64>,
}

/// Loads the key. Loading tests it: it signs, agrees, authenticates or wraps, and the host verifies the result.
pub(super) fn test_key(token: &Token, key: KeyDescription) -> KeyTest {
    let selector = key.selector();
    let public = |loaded: &EcKey| Some(public_text(&loaded.public_point()));
    let outcome = match key.kind {
        KeyKind::Signing => EcKey::load(token, &selector, Usage::Sign).and_then(|loaded| {
            Ok(Answer { public: public(&loaded), signatures_per_second: Some(signing_rate(&loaded)?) })
        }),
        KeyKind::Agreement => EcKey::load(token, &selector, Usage::Agree)
            .map(|loaded| Answer { public: public(&loaded), signatures_per_second: None }),
        KeyKind::Mac => MacKey::load(token, &selector).map(|_| Answer::default()),
        KeyKind::Wrapping => WrappingKey::load(token, &selector).map(|_| Answer::default()),
        _ => key.defect.map_or_else(|| Ok(Answer::default()), |defect| Err(defect.into())),
    };
    KeyTest { key, outcome }
}

/// Returns the signatures a second of a single caller. The signed digests are never those of a task.
fn signing_rate(key: &EcKey) -> Result<f64, Error> {
    let started = Instant::now();
    let mut signatures = 0;
    while signatures < MAX_SIGNATURES && started.elapsed() < MEASURING_TIME {
        let digest =
            Sha256::new_with_prefix(b"taskseal token check\0").chain_update(signatures.to_be_bytes());
        key.sign_digest(&digest.finalize().into())?;
        signatures += 1;
    }
    Ok(f64::from(signatures) / started.elapsed().as_secs_f64())
}
