//! The section `[keys]`: the keyset, and what a signed one is trusted by.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use taskseal_core::keys::VerifyingKey;

use super::broker::BrokerConfig;
use super::carrier::{KeysetCarrier, KeysetServer};
use super::context::Context;
use super::value::{DAY, Name, Seconds, YEAR};
use crate::file_error::FileError;
use crate::keys::{InvalidRoots, Point, SignedKeyset, relative_to};
use crate::toml_file::Spanned;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysSection {
    keyset: Option<Spanned<String>>,
    roots: Option<Spanned<Vec<Spanned<Point>>>>,
    name: Option<Spanned<Name<64, true>>>,
    shared: Option<Spanned<Vec<Spanned<String>>>>,
    keyset_url: Option<Spanned<String>>,
    keyset_ca_file: Option<Spanned<String>>,
    #[serde(default)]
    keyset_allow_http: bool,
    refresh: Option<Seconds<1, DAY>>,
    max_stale: Option<Seconds<60, YEAR>>,
}

const DEFAULT_REFRESH: Duration = Duration::from_secs(60);
const DEFAULT_MAX_STALE: Duration = Duration::from_secs(3600);

impl KeysSection {
    /// Returns the interval at which keys are loaded again, and the time after which they are stale.
    pub(super) fn times(&self) -> (Duration, Duration) {
        let refresh = self.refresh.map_or(DEFAULT_REFRESH, Duration::from);
        (refresh, self.max_stale.map_or(DEFAULT_MAX_STALE, Duration::from))
    }

    /// Returns the path of the keyset and, if `roots` are pinned, how it is verified. `name` is the deployment.
    pub(super) fn check(
        self,
        context: &Context<'_>,
        deployment: &str,
        state_dir: &Path,
    ) -> Result<(PathBuf, Option<SignedKeyset>), FileError> {
        let default = if self.roots.is_some() { SIGNED } else { "keyset.toml" };
        let file = relative_to(context.file, self.keyset.as_ref().map_or(default, |file| file.get_ref()));
        let Some(roots) = &self.roots else {
            self.check_unsigned(context, &file)?;
            return Ok((file, None));
        };
        let keys = roots.get_ref().iter().map(|root| {
            VerifyingKey::from_point(&root.get_ref().0).map_err(|_| {
                context.fault(
                    root,
                    "not a point on P-256",
                    "copy the public key of the root that `taskseal keyset init` printed",
                )
            })
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let name = self.name.as_ref().map_or(deployment, |name| &name.get_ref().0);
        let mut signed = SignedKeyset::new(file.clone(), name, keys, state_dir.to_owned())
            .map_err(|error| Self::invalid(context, error, roots))?;
        for key in self.shared.iter().flat_map(|keys| keys.get_ref()) {
            signed.shared.push(context.key("keys.shared", key)?);
        }
        Ok((file, Some(signed)))
    }

    /// Returns the second carrier of the keyset. `broker` is where the queue is.
    pub(super) fn carrier(
        &self,
        context: &Context<'_>,
        broker: &BrokerConfig,
    ) -> Result<Option<KeysetCarrier>, FileError> {
        // Without pinned roots, the check of the section reports the field.
        let (Some(url), Some(_)) = (&self.keyset_url, &self.roots) else { return Ok(None) };
        match (url.get_ref().as_str(), broker) {
            ("broker:", BrokerConfig::Redis(_)) => Ok(Some(KeysetCarrier::Broker)),
            ("broker:", _) => {
                let hint =
                    "remove it, and name the file that all processes of this machine share with `keyset`";
                Err(context.fault(url, "the broker is a file, and only a Redis carries a keyset", hint))
            }
            (text, _) => {
                let ca_file = self.authorities(context, broker);
                let server = KeysetServer::new(text, ca_file.as_deref(), self.keyset_allow_http);
                let server = server.map_err(|invalid| {
                    let (message, hint) = invalid.message();
                    context.fault(url, message, hint)
                })?;
                Ok(Some(KeysetCarrier::Server(server)))
            }
        }
    }

    /// Returns the file of the authorities that may certify the server of the keyset: those of the broker, unless it has its own.
    fn authorities(&self, context: &Context<'_>, broker: &BrokerConfig) -> Option<PathBuf> {
        let own = self.keyset_ca_file.as_ref().map(|file| relative_to(context.file, file.get_ref()));
        let of_broker = match broker {
            #[cfg(feature = "redis")]
            BrokerConfig::Redis(settings) => settings.tls.roots.clone(),
            _ => None,
        };
        own.or(of_broker)
    }

    fn invalid<T>(context: &Context<'_>, error: InvalidRoots, roots: &Spanned<T>) -> FileError {
        let hint = match error {
            InvalidRoots::Roots => "pin the public key of the root, and for a rotation that of the next one",
            InvalidRoots::Name => "set `name` in [keys] to the name that the keyset has",
        };
        context.fault(roots, error.to_string(), hint)
    }

    /// Checks that a keyset without pinned roots has no fields of a signed one.
    fn check_unsigned(&self, context: &Context<'_>, file: &Path) -> Result<(), FileError> {
        let hint = "pin the public key of its root: `roots = [\"…\"]` in [keys]";
        let of_signed = "applies to a signed keyset only, and no `roots` are pinned";
        if let Some(name) = &self.name {
            return Err(context.fault(name, of_signed, hint));
        }
        if let Some(url) = &self.keyset_url {
            return Err(context.fault(url, of_signed, hint));
        }
        if let Some(file) = &self.keyset_ca_file {
            return Err(context.fault(file, of_signed, hint));
        }
        if let Some(shared) = &self.shared {
            return Err(context.fault(shared, of_signed, hint));
        }
        match &self.keyset {
            Some(keyset) if file.extension().is_some_and(|extension| extension == "cose") => {
                Err(context.fault(keyset, "a signed keyset needs a pinned root", hint))
            }
            _ => Ok(()),
        }
    }
}

const SIGNED: &str = "keyset.cose";

#[cfg(test)]
mod tests;
