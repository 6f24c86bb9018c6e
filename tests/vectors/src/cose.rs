//! Envelopes assembled by hand: headers, signatures, tags and ciphertexts of the specification over given bytes,
//! valid or not.
//!
//! Uses only the primitives of taskseal (ES256, ECDH, AES-256-GCM), so that the envelopes that are compared with these
//! bytes are made by other code.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use taskseal_core::keys::{AgreementKey, AgreementPublicKey, SigningKey};
use taskseal_core::{Agree, Provider, Secret, Signer, Software};

use crate::example::{self, hex, low_s, sha256};
use crate::tree::{Node, bytes, int, map, text, wrapped};

/// Label of the algorithm.
pub const ALG: i64 = 1;
/// Label of the content type.
pub const CONTENT_TYPE: i64 = 3;
/// Label of the kid.
pub const KID: i64 = 4;
/// Label of the IV.
pub const IV: i64 = 5;
/// Label of the claims.
pub const CLAIMS: i64 = 15;
/// Label of the type.
pub const TYP: i64 = 16;
/// Label of the private parameters of taskseal: the extension of the claims, salt and commitment, the size of a batch.
pub const PRIVATE: i64 = -95348;

/// The tag of COSE_Encrypt0.
pub const ENCRYPT0: u64 = 16;
/// The tag of COSE_Mac0.
pub const MAC0: u64 = 17;
/// The tag of COSE_Sign1.
pub const SIGN1: u64 = 18;
/// The tag of COSE_Encrypt.
pub const ENCRYPT: u64 = 96;

/// The `typ` of a task.
pub const TASK: &str = "application/vnd.taskseal.v1+cose";
/// The `typ` of a result.
pub const RESULT: &str = "application/vnd.taskseal.result.v1+cose";

/// The claims of the examples.
#[must_use]
pub fn claims() -> Node {
    map([
        (1, text("sensor-gw-07")),
        (2, text("email:deliver")),
        (3, text("prod/critical")),
        (4, int(1_763_754_600)),
        (6, int(1_763_751_000)),
        (7, bytes(&hex("0192f7a1c3d47e5fa1b2c3d4e5f60718"))),
        (PRIVATE, map([(4, bytes(&hex("4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b701")))])),
    ])
}

/// A header of five fields around the claims of the examples.
#[must_use]
pub fn header(alg: i64, content_type: Node, kid: &[u8]) -> Node {
    map([
        (ALG, int(alg)),
        (CONTENT_TYPE, content_type),
        (KID, bytes(kid)),
        (CLAIMS, claims()),
        (TYP, text(TASK)),
    ])
}

/// The header of the example of suite S.
#[must_use]
pub fn header_s() -> Node {
    header(-7, text("application/json"), example::producer().verifying_key().kid().as_bytes())
}

/// The header of the example of suite SE.
#[must_use]
pub fn header_se() -> Node {
    let mut header = header_s();
    header.set(CONTENT_TYPE, int(16));
    header
}

/// The header of the example of suite SP.
#[must_use]
pub fn header_sp() -> Node {
    let mut header = header_s();
    header.set(CONTENT_TYPE, int(96));
    header
}

/// The header of the example of suite M.
#[must_use]
pub fn header_m() -> Node {
    header(5, text("application/json"), b"mac\0\0\0\0\x01")
}

/// The structure that is signed or authenticated: a context and byte strings.
#[must_use]
pub fn structure(context: &str, parts: &[&[u8]]) -> Vec<u8> {
    let items = [text(context)].into_iter().chain(parts.iter().map(|part| bytes(part)));
    Node::Array(items.collect()).encode()
}

/// An ES256 signature with the lower `s`.
#[must_use]
pub fn sign(mut key: &SigningKey, message: &[u8]) -> [u8; 64] {
    let Ok(signature) = key.sign_digest(&sha256(message));
    low_s(signature)
}

/// A COSE structure of four around a protected header of any bytes.
#[must_use]
pub fn frame(tag: u64, header: &[u8], payload: Node, proof: &[u8]) -> Node {
    let items = vec![bytes(header), Node::Map(Vec::new()), payload, bytes(proof)];
    Node::Tag(tag, Box::new(Node::Array(items)))
}

/// A COSE_Sign1 by a key.
#[must_use]
pub fn sign1_by(key: &SigningKey, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let signature = sign(key, &structure("Signature1", &[header, b"", payload]));
    frame(SIGN1, header, bytes(payload), &signature).encode()
}

/// A COSE_Sign1 by the producer of the examples.
#[must_use]
pub fn sign1(header: &[u8], payload: &[u8]) -> Vec<u8> {
    sign1_by(&example::producer(), header, payload)
}

/// HMAC-SHA256.
///
/// # Panics
/// Never: a key may have any length.
#[must_use]
pub fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// A COSE_Mac0 around the body of the examples.
#[must_use]
pub fn mac0(key: &[u8], header: &[u8]) -> Vec<u8> {
    let tag = hmac(key, &structure("MAC0", &[header, b"", example::BODY]));
    frame(MAC0, header, bytes(example::BODY), &tag).encode()
}

/// HKDF-SHA256.
fn hkdf(secret: &[u8], salt: &[u8], info: &[u8], blocks: u8) -> Vec<u8> {
    let key = hmac(salt, secret);
    let mut out = Vec::new();
    let mut block = Vec::new();
    for counter in 1..=blocks {
        block = hmac(&key, &[&block, info, &[counter]].concat()).to_vec();
        out.extend(&block);
    }
    out
}

/// The salt of the examples.
#[must_use]
pub fn salt() -> Vec<u8> {
    sha256(b"salt").iter().copied().take(16).collect()
}

/// The IV of the examples.
#[must_use]
pub fn iv() -> [u8; 12] {
    let mut iv = [0; 12];
    iv.iter_mut().zip(sha256(b"iv")).for_each(|(byte, drawn)| *byte = drawn);
    iv
}

/// A content key and its commitment.
#[derive(Debug)]
pub struct ContentKey {
    key: Secret<32>,
    /// The commitment, after the salt if the suite has one.
    pub commit: Vec<u8>,
}

/// The content key of suites E and SE.
#[must_use]
pub fn shared_content_key(key: &[u8]) -> ContentKey {
    let okm = hkdf(key, &salt(), b"taskseal/v1 A256GCM", 2);
    let (content_key, commitment) = okm.split_at(32);
    ContentKey { key: secret(content_key), commit: [&salt(), commitment].concat() }
}

/// The content key of suite SP, agreed by the ephemeral key of the examples.
#[must_use]
pub fn agreed_content_key(recipient: &AgreementPublicKey) -> ContentKey {
    let Ok(z) = ephemeral().agree(recipient);
    // The context of RFC 9053 section 5.2: A256GCM, parties without names, 256 bits, the recipient's header.
    let context = hex("8403 83f6f6f6 83f6f6f6 82190100 44a1013818");
    let content_key = hkdf(z.as_bytes(), b"", &context, 1);
    ContentKey { key: secret(&content_key), commit: hkdf(z.as_bytes(), b"", b"taskseal/v1 commit", 1) }
}

fn secret(key: &[u8]) -> Secret<32> {
    Secret::copy_from(key.try_into().expect("32 bytes"))
}

/// The ephemeral key of the examples.
#[must_use]
pub fn ephemeral() -> AgreementKey {
    example::agreement_key("taskseal example ephemeral")
}

impl ContentKey {
    /// Ciphertext and tag.
    ///
    /// # Panics
    /// Never: the body is short.
    #[must_use]
    pub fn encrypt(&self, iv: &[u8; 12], aad: &[u8], body: &[u8]) -> Vec<u8> {
        let mut buffer = body.to_vec();
        let tag = Software.encrypt_a256gcm(&self.key, iv, &[aad], &mut buffer).expect("a short body");
        buffer.extend(tag);
        buffer
    }
}

/// The header of a COSE_Encrypt0 within a signature, kid and commitment of a key.
#[must_use]
pub fn header_enc0(kid: &[u8], key: &ContentKey) -> Node {
    map([
        (ALG, int(3)),
        (CONTENT_TYPE, text("application/json")),
        (KID, bytes(kid)),
        (PRIVATE, bytes(&key.commit)),
    ])
}

/// The header of a COSE_Encrypt within a signature.
#[must_use]
pub fn header_encp(key: &ContentKey) -> Node {
    map([(ALG, int(3)), (CONTENT_TYPE, text("application/json")), (PRIVATE, bytes(&key.commit))])
}

/// A COSE_Encrypt0 under an outer header: empty in suite E.
#[must_use]
pub fn encrypt0(outer: &[u8], header: &Node, key: &ContentKey, iv: &[u8; 12], body: &[u8]) -> Node {
    let header = header.encode();
    let ciphertext = key.encrypt(iv, &structure("Encrypt0", &[&header, outer]), body);
    let items = vec![bytes(&header), map([(IV, bytes(iv))]), bytes(&ciphertext)];
    Node::Tag(ENCRYPT0, Box::new(Node::Array(items)))
}

/// A COSE_Encrypt to one key under an outer header.
#[must_use]
pub fn encrypt(
    outer: &[u8],
    header: &Node,
    key: &ContentKey,
    iv: &[u8; 12],
    kid: &[u8],
    body: &[u8],
) -> Node {
    let header = header.encode();
    let ciphertext = key.encrypt(iv, &structure("Encrypt", &[&header, outer]), body);
    let point = ephemeral().public_key().to_point();
    let (x, y) = point.strip_prefix(&[4]).map(|coordinates| coordinates.split_at(32)).unwrap_or_default();
    let ephemeral = map([(1, int(2)), (-1, int(1)), (-2, bytes(x)), (-3, bytes(y))]);
    let recipient =
        vec![wrapped(map([(ALG, int(-25))])), map([(KID, bytes(kid)), (-1, ephemeral)]), bytes(b"")];
    let recipients = Node::Array(vec![Node::Array(recipient)]);
    let items = vec![bytes(&header), map([(IV, bytes(iv))]), bytes(&ciphertext), recipients];
    Node::Tag(ENCRYPT, Box::new(Node::Array(items)))
}

/// Kid and shared key of the examples.
#[must_use]
pub fn shared_key() -> ([u8; 8], [u8; 32]) {
    (*b"enc\0\0\0\0\x01", sha256(b"taskseal example enc key"))
}

/// The encrypted object of the example of suite SE, its header edited before anything is encrypted.
#[must_use]
pub fn inner_se(outer: &[u8], body: &[u8], edit: impl FnOnce(&mut Node)) -> Node {
    inner_se_with_iv(outer, body, &iv(), edit)
}

/// [`inner_se`] with another IV.
#[must_use]
pub fn inner_se_with_iv(outer: &[u8], body: &[u8], iv: &[u8; 12], edit: impl FnOnce(&mut Node)) -> Node {
    let (kid, key) = shared_key();
    let key = shared_content_key(&key);
    let mut header = header_enc0(&kid, &key);
    edit(&mut header);
    encrypt0(outer, &header, &key, iv, body)
}

/// The encrypted object of the example of suite SP, its header edited before anything is encrypted.
#[must_use]
pub fn inner_sp(outer: &[u8], body: &[u8], edit: impl FnOnce(&mut Node)) -> Node {
    inner_sp_with_iv(outer, body, &iv(), edit)
}

/// [`inner_sp`] with another IV.
#[must_use]
pub fn inner_sp_with_iv(outer: &[u8], body: &[u8], iv: &[u8; 12], edit: impl FnOnce(&mut Node)) -> Node {
    let worker = example::worker().public_key();
    let key = agreed_content_key(&worker);
    let mut header = header_encp(&key);
    edit(&mut header);
    encrypt(outer, &header, &key, iv, worker.kid().as_bytes(), body)
}

/// An envelope of suite E, its header edited before anything is encrypted.
#[must_use]
pub fn envelope_e(secret: &[u8], body: &[u8], edit: impl FnOnce(&mut Node)) -> Vec<u8> {
    let key = shared_content_key(secret);
    let (kid, _) = shared_key();
    let mut header = header(3, text("application/json"), &kid);
    header.append(int(PRIVATE), bytes(&key.commit));
    edit(&mut header);
    encrypt0(b"", &header, &key, &iv(), body).encode()
}
