//! Keys of other programs in PEM (RFC 7468): private keys on P-256 in PKCS #8 (RFC 5958) or SEC 1 (RFC 5915), and public
//! keys (RFC 5280).

use std::fmt;
use std::path::Path;

use pkcs8::der::asn1::{AnyRef, BitStringRef, OctetStringRef};
use pkcs8::der::{Decode, Encode};
use pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef};
use sec1::{EcParameters, EcPrivateKey};
use taskseal_core::Secret;
use taskseal_core::keys::{AgreementKey, POINT_LEN, VerifyingKey};
use zeroize::Zeroizing;

use super::armoured_key::armour::Armour;
use super::error::KeyError;
use super::file::{armour, read_cose_key};
use crate::stack::with_wiped_stack;

#[cfg(test)]
mod tests;

/// A key of another program.
#[derive(Debug)]
#[non_exhaustive]
pub enum PemKey {
    /// The scalar of a private key.
    Private(Box<Secret<32>>),
    /// A public key, as an uncompressed point.
    Public([u8; POINT_LEN]),
}

/// Why a text is not a key in PEM, and what to do about it. Shows no part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PemError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl PemError {
    fn new(message: impl Into<String>, hint: &'static str) -> Self {
        Self { message: message.into(), hint }
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PemError {}

impl PemKey {
    /// Reads one key in PEM. Parameters of a curve before it, as `openssl ecparam` writes them, are left out.
    ///
    /// # Errors
    /// [`PemError`] if there is no key, it is encrypted, or it is not a key on P-256.
    pub fn parse(text: &[u8]) -> Result<Self, PemError> {
        with_wiped_stack(|| {
            let text = without_parameters(text);
            if is_encrypted(&text) {
                return Err(PemError::new("the private key is encrypted", DECRYPT));
            }
            let armour = Armour::find(&text).map_err(|message| PemError::new(message, EXPECTED))?;
            let mut buffer = Zeroizing::new(vec![0; MAX_CONTENT]);
            let (label, der) =
                armour.decode(buffer.as_mut_slice()).map_err(|message| PemError::new(message, EXPECTED))?;
            match label {
                "PRIVATE KEY" => private_key(der),
                "EC PRIVATE KEY" => ec_private_key(der, None),
                "PUBLIC KEY" => public_key(der),
                "CERTIFICATE" => Err(PemError::new("found a certificate, expected a key", FROM_CERTIFICATE)),
                other => Err(PemError::new(
                    format!("found `{}`, expected a key", other.escape_default()),
                    EXPECTED,
                )),
            }
        })
    }
}

/// Returns the private key of a secret key file in PKCS #8, in PEM.
///
/// # Errors
/// [`KeyError`] as for [`SecretKey::read`](super::SecretKey::read), or if the key is symmetric.
///
/// # Security
/// The text is the key itself: write it to a file that only its owner can read.
pub fn private_to_pem(file: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let place = &file.into();
    with_wiped_stack(|| {
        let key = read_cose_key(place)?;
        let point = AgreementKey::from_scalar(key.secret()).map(|key| key.public_key().to_point());
        let (true, Ok(point)) = (key.point().is_some(), point) else {
            return Err(KeyError::invalid(place, "a symmetric key has no form in PEM")
                .hint("copy the file itself to the other side"));
        };
        let mut buffers = Zeroizing::new([[0; MAX_WRITTEN]; 2]);
        let [inner, outer] = &mut *buffers;
        let ec =
            EcPrivateKey { private_key: key.secret().as_bytes(), parameters: None, public_key: Some(&point) };
        let ec = ec.encode_to_slice(inner).and_then(OctetStringRef::new).expect(FITS);
        let der = PrivateKeyInfoRef::new(p256(), ec).encode_to_slice(outer).expect(FITS);
        Ok(armour("PRIVATE KEY", der, ""))
    })
}

/// Returns a public key as a SubjectPublicKeyInfo, in PEM.
#[must_use]
pub fn public_to_pem(point: &[u8; POINT_LEN]) -> Vec<u8> {
    let mut buffer = [0; MAX_WRITTEN];
    let subject_public_key = BitStringRef::from_bytes(point).expect(FITS);
    let info = SubjectPublicKeyInfoRef { algorithm: p256(), subject_public_key };
    armour("PUBLIC KEY", info.encode_to_slice(&mut buffer).expect(FITS), "").to_vec()
}

fn private_key(der: &[u8]) -> Result<PemKey, PemError> {
    let info = PrivateKeyInfoRef::from_der(der).map_err(|_| damaged())?;
    check_curve(&info.algorithm)?;
    ec_private_key(info.private_key.as_bytes(), Some(P256_CURVE))
}

/// `curve` is that of the structure around the key, which need not repeat it.
fn ec_private_key(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<PemKey, PemError> {
    let key = EcPrivateKey::from_der(der).map_err(|_| damaged())?;
    let stated = key.parameters.and_then(EcParameters::named_curve).or(curve);
    if stated != Some(P256_CURVE) {
        return Err(other_key());
    }
    let scalar = <&[u8; 32]>::try_from(key.private_key).map_err(|_| damaged())?;
    let scalar = Box::new(Secret::copy_from(scalar));
    let point = AgreementKey::from_scalar(&scalar).map_err(|_| damaged())?.public_key().to_point();
    if key.public_key.is_some_and(|stated| stated.len() == POINT_LEN && stated != point) {
        return Err(PemError::new("the public key in the file is not that of the private key", EXPORT_AGAIN));
    }
    Ok(PemKey::Private(scalar))
}

fn public_key(der: &[u8]) -> Result<PemKey, PemError> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| damaged())?;
    check_curve(&info.algorithm)?;
    let bytes = info.subject_public_key.as_bytes().unwrap_or_default();
    let point = <[u8; POINT_LEN]>::try_from(bytes).map_err(|_| {
        PemError::new("the public key is compressed, expected an uncompressed point", UNCOMPRESS)
    })?;
    VerifyingKey::from_point(&point).map_err(|_| damaged())?;
    Ok(PemKey::Public(point))
}

fn check_curve(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<(), PemError> {
    algorithm.assert_oids(EC, P256_CURVE).map_err(|_| other_key())
}

fn other_key() -> PemError {
    PemError::new("not a key on P-256", EXPECTED)
}

fn damaged() -> PemError {
    PemError::new("the key in the PEM armour is damaged", EXPORT_AGAIN)
}

/// Returns the text without the block of the parameters of a curve.
fn without_parameters(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut kept = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut skips = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        skips |= line.starts_with(b"-----BEGIN EC PARAMETERS-----");
        if !skips {
            kept.extend_from_slice(line);
        }
        skips &= !line.starts_with(b"-----END EC PARAMETERS-----");
    }
    kept
}

/// Returns whether the text is an encrypted private key: in PKCS #8, or in the older form of OpenSSL (RFC 1421).
fn is_encrypted(text: &[u8]) -> bool {
    let holds = |wanted: &[u8]| text.windows(wanted.len()).any(|window| window == wanted);
    holds(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds(b"Proc-Type: 4,ENCRYPTED")
}

/// id-ecPublicKey (RFC 5480).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// secp256r1 (RFC 5480).
static P256_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

fn p256() -> AlgorithmIdentifierRef<'static> {
    AlgorithmIdentifierRef { oid: EC, parameters: Some(AnyRef::from(&P256_CURVE)) }
}

/// Maximum length of what the armour contains, in bytes: that of RSA keys, which are refused by name.
const MAX_CONTENT: usize = 16 << 10;

/// Maximum length of a key that is written, in bytes.
const MAX_WRITTEN: usize = 256;

const FITS: &str = "the longest key is shorter than the buffer";
const EXPECTED: &str =
    "expected an EC key on P-256: PRIVATE KEY (PKCS #8), EC PRIVATE KEY (SEC 1) or PUBLIC KEY";
const EXPORT_AGAIN: &str = "export the key again from the program that has it";
const DECRYPT: &str = "decrypt it and pass it on: openssl pkey -in FILE | taskseal key import sign --pem - …";
const FROM_CERTIFICATE: &str = "take its public key: openssl x509 -in FILE -noout -pubkey";
const UNCOMPRESS: &str = "convert it: openssl ec -pubin -in FILE -conv_form uncompressed";
