//! Amazon Web Services: keys in KMS, and secrets in Secrets Manager.
//!
//! * `awskms://[ENDPOINT]/KEY[?region=REGION]` with the id, ARN or alias of a key: signs, or agrees on secrets;
//! * `awssm://[ENDPOINT]/NAME[?version=VERSION]` with the name or ARN of a secret: the content of a key file, or a password.
//!   `VERSION` is a staging label, such as `AWSPREVIOUS`, or the id of a version.
//!
//! Credentials and the region are found as the SDK does, unless the application gives an [`SdkConfig`].

mod fault;
mod kms;
mod secrets;
mod session;
mod uri;

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

pub use aws_config::SdkConfig;
use taskseal::keys::{InvalidKeyRef, KeyError, KeyHandle, KeyRef, KeyStore, KeyUsage};

use self::kms::KmsKey;
pub use self::secrets::SecretsManager;
use self::session::Session;
use self::uri::AwsUri;
use crate::agreement::ServiceAgreement;
use crate::signer::ServiceSigner;
use crate::timeouts::Timeouts;

/// Keys in AWS KMS: `awskms:`.
pub type AwsKms = AwsService<Kms>;

/// Secrets in AWS Secrets Manager: `awssm:`.
pub type AwsSecrets = AwsService<SecretsManager>;

/// A service of AWS, with one configuration of the SDK for all keys of a store.
#[derive(Clone, Debug)]
pub struct AwsService<S> {
    session: Arc<Session>,
    timeouts: Timeouts,
    service: PhantomData<S>,
}

/// AWS KMS.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Kms;

impl<S> Default for AwsService<S> {
    fn default() -> Self {
        Self { session: Arc::default(), timeouts: Timeouts::default(), service: PhantomData }
    }
}

impl<S> AwsService<S> {
    /// Creates a store with the credentials and the region of the environment, which it reads when it first needs them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a store with the credentials, the region and the HTTP client of `config`.
    #[must_use]
    pub fn with_config(config: SdkConfig) -> Self {
        Self { session: Arc::new(Session::with_config(config)), ..Self::default() }
    }

    /// Sets the time limits of calls.
    #[must_use]
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }
}

const KMS_FORM: &str = "`awskms:///alias/NAME`, or the id or ARN of a key, with `?region=REGION` if needed";

impl KeyStore for AwsKms {
    fn scheme(&self) -> &'static str {
        "awskms"
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        AwsUri::parse(uri, &["region"], KMS_FORM)?;
        Ok(KeyRef::new("awskms", uri, uri))
    }

    fn open(&self, key: &KeyRef, usage: KeyUsage) -> Result<KeyHandle, KeyError> {
        let uri = key.address().to_str().and_then(|uri| AwsUri::parse(uri, &["region"], KMS_FORM).ok());
        let uri = uri.ok_or_else(|| KeyError::invalid(key, "not an awskms: URI"))?;
        let service =
            KmsKey::new(&self.session, &uri, &self.timeouts).map_err(|fault| fault.into_key_error(key))?;
        let handle = match usage {
            KeyUsage::Sign => {
                ServiceSigner::open(service, self.timeouts).map(|key| KeyHandle::Signer(Arc::new(key)))
            }
            KeyUsage::Decrypt => {
                ServiceAgreement::open(service, self.timeouts).map(|key| KeyHandle::Agreement(Arc::new(key)))
            }
            _ => {
                return Err(KeyError::invalid(key, "a key in AWS KMS cannot be a shared key")
                    .hint("keep shared keys in files"));
            }
        };
        handle.map_err(|fault| fault.into_key_error(key))
    }
}
