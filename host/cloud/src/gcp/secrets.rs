//! Secrets in Google Secret Manager.

use std::path::Path;

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use taskseal::keys::{FetchedSecret, InvalidKeyRef, KeyError, KeyRef, SecretSource};
use zeroize::Zeroizing;

use super::{GoogleSecrets, Service, crc32c, is_resource};
use crate::attempts::retrying;
use crate::fault::Fault;
use crate::rest::RestBody;
use crate::timeouts::Deadline;

/// Google Secret Manager.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SecretManager;

impl Service for SecretManager {
    const ENDPOINT: &'static str = "https://secretmanager.googleapis.com";
}

impl GoogleSecrets {
    fn read(&self, name: &str, deadline: &Deadline) -> Result<FetchedSecret, Fault> {
        let answer = self.call(&format!("{name}:access"), &RestBody::None, deadline)?;
        let SecretVersion { name, payload } = answer.parse()?;
        let encoded = Zeroizing::new(payload.data);
        let content = Base64::decode_vec(&encoded).map(Zeroizing::new);
        let content = content.map_err(|_| Fault::faulty_answer("the answer has no secret in Base64"))?;
        if payload.data_crc32c.is_some_and(|checksum| checksum != crc32c(&content).to_string()) {
            return Err(Fault::faulty_answer("the secret does not match its checksum"));
        }
        Ok(FetchedSecret::new(content).with_version(name.rsplit('/').next().unwrap_or_default()))
    }
}

#[derive(Deserialize)]
struct SecretVersion {
    name: String,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    data: String,
    data_crc32c: Option<String>,
}

const FORM: &str = "write `gcpsm://projects/P/secrets/S/versions/V`, where `V` is a number or `latest`";

fn resource(uri: &str) -> Option<&str> {
    let names = ["projects", "secrets", "versions"];
    uri.split_once("://").map(|(_, path)| path).filter(|path| is_resource(path, &names))
}

impl SecretSource for GoogleSecrets {
    fn scheme(&self) -> &'static str {
        "gcpsm"
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        resource(uri)
            .ok_or_else(|| InvalidKeyRef::new("the URI does not name the version of a secret", FORM))?;
        Ok(KeyRef::new("gcpsm", uri, uri))
    }

    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        let name = secret.address().to_str().and_then(resource);
        let name = name.ok_or_else(|| KeyError::invalid(secret, "not a gcpsm: URI"))?;
        let fetched = retrying(&self.timeouts, |deadline| self.read(name, deadline));
        fetched.map_err(|fault| fault.into_key_error(secret))
    }
}
