//! Signed checkpoints: which lines a log had at a time, under an ES256 key.
//!
//! Every byte of the line of a checkpoint follows from its place in the log, its time and its signature, so that the last line of a
//! log cannot be changed either.

use base64ct::{Base64UrlUnpadded, Encoding};
use taskseal_core::keys::VerifyingKey;
use taskseal_core::{
    KeyId, MAX_STATEMENT, SealError, Signer, StatementType, UnverifiedStatement, sign_statement,
};

use super::line::{Hash, Head, LineBuilder, hex, time_text};
use super::names;
use crate::keys::{KeyError, KeyHandle, KeyRef, KeyStores, KeyUsage, SecretKey, SignerFault};
use crate::time::UnixMillis;

const KIND: StatementType = StatementType::AuditCheckpoint;

/// The state of a log after one of its lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogState<'l> {
    /// Name of the log.
    pub(super) log: &'l str,
    /// Number of its last line.
    pub(super) lines: u64,
    /// Hash of its last line.
    pub(super) last: &'l Hash,
}

impl LogState<'_> {
    /// Returns what is signed, in JSON.
    fn payload(&self, at: &str) -> Vec<u8> {
        let log = serde_json::Value::from(self.log);
        let (lines, last) = (self.lines, hex(self.last));
        format!("{{\"log\":{log},\"lines\":{lines},\"last\":\"{last}\",\"at\":\"{at}\"}}").into_bytes()
    }

    /// Returns the line of a checkpoint of this state.
    fn line(&self, at: UnixMillis, cose: &str) -> String {
        let mut line = LineBuilder::new(self.lines + 1, self.last, at, names::CHECKPOINT);
        // Longer than a text from outside may be.
        line.raw_text("cose", cose);
        line.finish()
    }

    /// Signs this state and returns the line of the checkpoint.
    pub(super) fn sign(&self, key: &CheckpointKey, at: UnixMillis) -> Result<String, String> {
        let payload = self.payload(&time_text(at));
        let mut buffer = vec![0; payload.len().min(MAX_STATEMENT) + 192];
        let signed = sign_statement(&mut &*key, KIND, &payload, &mut buffer);
        let signed = signed.map_err(|error: SealError<SignerFault>| error.to_string())?;
        Ok(self.line(at, &Base64UrlUnpadded::encode_string(signed)))
    }

    /// Verifies the line of a checkpoint that follows this state. The error says what is wrong.
    pub(super) fn verify(&self, line: &[u8], head: &Head, keys: &[VerifyingKey]) -> Result<(), String> {
        let cose = head.cose.as_deref().ok_or("it has no signature")?;
        let bytes = Base64UrlUnpadded::decode_vec(cose).map_err(|_| "its signature is not base64url")?;
        let statement = UnverifiedStatement::parse(&bytes, KIND).map_err(|_| "its signature is malformed")?;
        let kid = statement.kid();
        let key = keys.iter().find(|key| key.kid() == kid).ok_or_else(|| format!("unknown key {kid}"))?;
        let payload = statement.verify(key).map_err(|_| format!("the signature of key {kid} is wrong"))?;
        if payload != self.payload(&head.at) {
            return Err(format!("key {kid} has signed another state of the log"));
        }
        if line != self.line(head.at(), cose).as_bytes() {
            return Err("it has changed beside its signature".to_owned());
        }
        Ok(())
    }
}

/// The key that signs checkpoints.
#[derive(Debug)]
pub(super) struct CheckpointKey(KeyHandle);

impl CheckpointKey {
    /// Opens the key. It may block.
    pub(super) fn open(key: &KeyRef, stores: &KeyStores) -> Result<Self, KeyError> {
        match stores.open(key, KeyUsage::Sign)? {
            handle @ (KeyHandle::Secret(SecretKey::Sign(_)) | KeyHandle::Signer(_)) => Ok(Self(handle)),
            other => {
                let message = format!("expected an ES256 key, found an {} key", other.algorithm());
                Err(KeyError::invalid(key, message).hint("`taskseal keygen` creates keys for the audit log"))
            }
        }
    }

    /// Returns the public key; `None` if the key is kept elsewhere.
    pub(super) fn public(&self) -> Option<VerifyingKey> {
        match &self.0 {
            KeyHandle::Secret(SecretKey::Sign(key)) => Some(key.verifying_key()),
            _ => None,
        }
    }
}

impl Signer for &CheckpointKey {
    type Error = SignerFault;

    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        match &self.0 {
            KeyHandle::Secret(SecretKey::Sign(key)) => {
                Signer::sign_digest(&mut &**key, digest).map_err(|never| match never {})
            }
            KeyHandle::Signer(signer) => signer.sign_digest(digest),
            _ => Err(SignerFault::new("the key does not sign")),
        }
    }
}
