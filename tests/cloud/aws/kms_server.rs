//! A server that answers as the API reference of AWS KMS describes: `GetPublicKey`, `Sign` and `DeriveSharedSecret`.

use std::sync::{Arc, Mutex};

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};

use crate::contract::keys::TestKey;
use crate::contract::{Contract, Reply, Request};

/// A key in the service.
pub(super) struct Key {
    pub(super) spec: &'static str,
    pub(super) usage: &'static str,
    /// The key whose public key is returned.
    pub(super) public: TestKey,
    /// The key that signs and agrees.
    pub(super) private: TestKey,
}

impl Key {
    pub(super) fn new(usage: &'static str, seed: u8) -> Self {
        Self { spec: "ECC_NIST_P256", usage, public: TestKey::new(seed), private: TestKey::new(seed) }
    }
}

/// The service, with one key under the alias `alias/shop`.
pub(super) struct KmsServer {
    pub(super) contract: Contract,
    key: Arc<Mutex<Key>>,
}

impl KmsServer {
    pub(super) fn start(key: Key) -> Self {
        let key = Arc::new(Mutex::new(key));
        let shared = Arc::clone(&key);
        let contract = Contract::start(move |request| answer(request, &shared.lock().unwrap()));
        Self { contract, key }
    }

    pub(super) fn uri(&self) -> String {
        format!("awskms://{}/alias/shop", self.contract.address())
    }

    /// Lets the alias lead to another key.
    pub(super) fn replace(&self, key: Key) {
        *self.key.lock().unwrap() = key;
    }

    /// Returns the operations that were called since the last call of this function.
    pub(super) fn operations(&self) -> Vec<String> {
        let target = |request: &Request| request.header("x-amz-target").replace("TrentService.", "");
        self.contract.take_requests().iter().map(target).collect()
    }
}

/// Returns an error in the form of the protocol AWS JSON 1.1.
pub(super) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "__type": code, "message": message }))
}

fn answer(request: &Request, key: &Key) -> Reply {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
    assert_eq!(request.header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(request.header("x-amz-security-token"), "token77");
    let authorization = request.header("authorization");
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIATEST/"), "{authorization}");
    assert!(authorization.contains("/eu-central-1/kms/aws4_request"), "{authorization}");
    let body = request.json();
    if body["KeyId"] != "alias/shop" {
        return error(400, "NotFoundException", "Alias is not found.");
    }
    match request.header("x-amz-target") {
        "TrentService.GetPublicKey" => public_key(key),
        "TrentService.Sign" => sign(&body, key),
        "TrentService.DeriveSharedSecret" => derive(&body, key),
        other => panic!("unexpected operation {other}"),
    }
}

fn arn(key: &Key) -> String {
    format!("arn:aws:kms:eu-central-1:111122223333:key/{}", key.public.kid())
}

fn bytes(value: &Value) -> Vec<u8> {
    Base64::decode_vec(value.as_str().expect("a text")).expect("Base64")
}

fn public_key(key: &Key) -> Reply {
    let answer = json!({
        "KeyId": arn(key), "KeySpec": key.spec, "KeyUsage": key.usage,
        "PublicKey": Base64::encode_string(&key.public.spki()),
    });
    Reply::json(200, &answer)
}

fn sign(body: &Value, key: &Key) -> Reply {
    assert_eq!(
        (&body["MessageType"], &body["SigningAlgorithm"]),
        (&json!("DIGEST"), &json!("ECDSA_SHA_256"))
    );
    let signature = key.private.sign_high(&bytes(&body["Message"])).to_der();
    let answer = json!({
        "KeyId": arn(key), "SigningAlgorithm": "ECDSA_SHA_256",
        "Signature": Base64::encode_string(signature.as_bytes()),
    });
    Reply::json(200, &answer)
}

fn derive(body: &Value, key: &Key) -> Reply {
    assert_eq!(body["KeyAgreementAlgorithm"], "ECDH");
    let shared = key.private.agree(&bytes(&body["PublicKey"]));
    let answer = json!({
        "KeyId": arn(key), "KeyAgreementAlgorithm": "ECDH", "KeyOrigin": "AWS_KMS",
        "SharedSecret": Base64::encode_string(shared.as_bytes()),
    });
    Reply::json(200, &answer)
}
