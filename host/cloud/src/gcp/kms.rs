//! Keys in Google Cloud KMS.

use std::path::Path;
use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use p256::ecdsa::Signature;
use pem_rfc7468::decode_vec;
use serde::Deserialize;
use serde_json::json;
use taskseal::keys::{InvalidKeyRef, KeyError, KeyHandle, KeyRef, KeyStore, KeyUsage};

use super::{GoogleKms, Service, is_resource};
use crate::fault::Fault;
use crate::public_key::{Point, point_of_spki};
use crate::rest::RestBody;
use crate::signer::{ServiceSigner, SigningService};
use crate::timeouts::Deadline;

/// Google Cloud KMS.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CloudKms;

impl Service for CloudKms {
    const ENDPOINT: &'static str = "https://cloudkms.googleapis.com";
}

const NAMES: [&str; 5] = ["projects", "locations", "keyRings", "cryptoKeys", "cryptoKeyVersions"];
const FORM: &str = "write `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N`";

fn resource(uri: &str) -> Option<&str> {
    uri.split_once("://").map(|(_, path)| path).filter(|path| is_resource(path, &NAMES))
}

impl KeyStore for GoogleKms {
    fn scheme(&self) -> &'static str {
        "gcpkms"
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        resource(uri)
            .ok_or_else(|| InvalidKeyRef::new("the URI does not name the version of a key", FORM))?;
        Ok(KeyRef::new("gcpkms", uri, uri))
    }

    fn open(&self, key: &KeyRef, usage: KeyUsage) -> Result<KeyHandle, KeyError> {
        let name = key
            .address()
            .to_str()
            .and_then(resource)
            .ok_or_else(|| KeyError::invalid(key, "not a gcpkms: URI"))?;
        if usage != KeyUsage::Sign {
            return Err(KeyError::invalid(key, "a key in Google Cloud KMS can only sign")
                .hint("store other keys as secrets: `gcpsm:`"));
        }
        let version = KeyVersion { kms: self.clone(), name: name.to_owned() };
        let signer =
            ServiceSigner::open(version, self.timeouts).map_err(|fault| fault.into_key_error(key))?;
        Ok(KeyHandle::Signer(Arc::new(signer)))
    }
}

/// A version of a key. Its key never changes.
#[derive(Debug)]
struct KeyVersion {
    kms: GoogleKms,
    name: String,
}

#[derive(Deserialize)]
struct PublicKey {
    pem: String,
    algorithm: String,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

impl SigningService for KeyVersion {
    fn verifying_point(&self, deadline: &Deadline) -> Result<Point, Fault> {
        let answer = self.kms.call(&format!("{}/publicKey", self.name), &RestBody::None, deadline)?;
        let PublicKey { pem, algorithm } = answer.parse()?;
        if algorithm != "EC_SIGN_P256_SHA256" {
            return Err(Fault::wrong_key(format!(
                "expected a key with the algorithm EC_SIGN_P256_SHA256, found {algorithm}"
            )));
        }
        let der =
            decode_vec(pem.as_bytes()).ok().filter(|(label, _)| *label == "PUBLIC KEY").map(|(_, der)| der);
        let point = der.and_then(|der| point_of_spki(&der));
        point.ok_or_else(|| Fault::faulty_answer("the answer has no public key on P-256"))
    }

    fn sign(&self, digest: &[u8; 32], deadline: &Deadline) -> Result<Signature, Fault> {
        let request = json!({ "digest": { "sha256": Base64::encode_string(digest) } }).to_string();
        let path = format!("{}:asymmetricSign", self.name);
        let answer = self.kms.call(&path, &RestBody::Json(request.as_bytes()), deadline)?;
        let Signed { signature } = answer.parse()?;
        let signature = Base64::decode_vec(&signature).ok().and_then(|der| Signature::from_der(&der).ok());
        signature.ok_or_else(|| Fault::faulty_answer("the answer is not an ECDSA signature in DER"))
    }
}
