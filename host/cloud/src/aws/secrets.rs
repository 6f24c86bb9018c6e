//! Secrets in AWS Secrets Manager.

use std::path::Path;

use aws_sdk_secretsmanager::Client;
use taskseal::keys::{FetchedSecret, InvalidKeyRef, KeyError, KeyRef, SecretSource};
use zeroize::Zeroizing;

use super::AwsSecrets;
use super::fault::fault;
use super::session::block_on;
use super::uri::AwsUri;
use crate::attempts::retrying;
use crate::fault::Fault;

/// AWS Secrets Manager.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SecretsManager;

const FORM: &str = "`awssm:///NAME`, with `?version=AWSCURRENT`, `AWSPREVIOUS` or the id of a version, and `&region=REGION` if needed";
const FIELDS: &[&str] = &["region", "version"];

impl AwsSecrets {
    fn read(&self, uri: &AwsUri) -> Result<FetchedSecret, Fault> {
        let config = self.session.config(uri, self.timeouts.deadline().remaining())?;
        let client = Client::new(&config);
        let version = uri.version.as_deref();
        let stage = version.filter(|version| !is_version_id(version)).map(str::to_owned);
        let id = version.filter(|version| is_version_id(version)).map(str::to_owned);
        let answer = retrying(&self.timeouts, |deadline| {
            let call = client
                .get_secret_value()
                .secret_id(&uri.name)
                .set_version_stage(stage.clone())
                .set_version_id(id.clone())
                .send();
            block_on(deadline.next_attempt(), async move { call.await.map_err(fault) })
        })?;
        let text = answer.secret_string.map(String::into_bytes);
        let content =
            text.or_else(|| answer.secret_binary.map(aws_sdk_secretsmanager::primitives::Blob::into_inner));
        let content = content.ok_or_else(|| Fault::faulty_answer("the answer has no secret"))?;
        let secret = FetchedSecret::new(Zeroizing::new(content));
        Ok(match answer.version_id {
            Some(version) => secret.with_version(version),
            None => secret,
        })
    }
}

/// Returns whether a version is an id, which has 32 to 64 characters, and not a staging label.
fn is_version_id(version: &str) -> bool {
    version.len() >= 32
}

impl SecretSource for AwsSecrets {
    fn scheme(&self) -> &'static str {
        "awssm"
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        AwsUri::parse(uri, FIELDS, FORM)?;
        Ok(KeyRef::new("awssm", uri, uri))
    }

    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        let uri = secret.address().to_str().and_then(|uri| AwsUri::parse(uri, FIELDS, FORM).ok());
        let uri = uri.ok_or_else(|| KeyError::invalid(secret, "not an awssm: URI"))?;
        self.read(&uri).map_err(|fault| fault.into_key_error(secret))
    }
}
