//! URIs of keys and secrets in Azure Key Vault.

use taskseal::keys::InvalidKeyRef;

use crate::uri::{UriParts, endpoint, is_loopback};

/// What a URI names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collection {
    Keys,
    Secrets,
}

/// A key or secret in a vault.
#[derive(Clone, Debug)]
pub(super) struct VaultUri {
    /// URL of the vault, without a slash at its end.
    pub(super) vault: String,
    /// The resource that access tokens are requested for.
    pub(super) resource: &'static str,
    pub(super) collection: Collection,
    pub(super) name: String,
    pub(super) version: Option<String>,
}

/// The domains of vaults in each cloud. An access token is sent to no other host, except this machine.
const DOMAINS: [(&str, &str); 3] = [
    (".vault.azure.net", "https://vault.azure.net"),
    (".vault.azure.cn", "https://vault.azure.cn"),
    (".vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net"),
];

impl VaultUri {
    pub(super) fn parse(uri: &str, form: &str) -> Result<Self, InvalidKeyRef> {
        let parts = UriParts::split(uri, &[], form)?;
        let invalid = |message: &str| InvalidKeyRef::new(message, format!("write {form}"));
        let resource =
            resource_of(parts.authority).ok_or_else(|| invalid("the host is not one of Azure Key Vault"))?;
        let mut segments = parts.path.split('/');
        let collection = match segments.next() {
            Some("keys") => Collection::Keys,
            Some("secrets") => Collection::Secrets,
            _ => return Err(invalid("the path must begin with `keys` or `secrets`")),
        };
        let name = segments
            .next()
            .filter(|name| is_name(name))
            .ok_or_else(|| invalid("the name of the key is missing or invalid"))?;
        let version = segments.next();
        if version.is_some_and(|version| !is_name(version)) || segments.next().is_some() {
            return Err(invalid("the version is invalid"));
        }
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        Ok(Self { vault: endpoint(parts.authority), resource, collection, name, version })
    }
}

impl VaultUri {
    /// Returns whether the vault is on this machine, and called without TLS.
    pub(super) fn is_loopback(&self) -> bool {
        self.vault.starts_with("http:")
    }
}

fn resource_of(authority: &str) -> Option<&'static str> {
    let host = authority.split(':').next().unwrap_or_default();
    let is_in = |domain: &str| host.strip_suffix(domain).is_some_and(|name| !name.is_empty());
    let domain = DOMAINS.iter().find(|(domain, _)| is_in(domain)).map(|(_, resource)| *resource);
    domain.or_else(|| is_loopback(authority).then_some("https://vault.azure.net"))
}

/// Returns whether a text can be the name or the version of a key or secret.
fn is_name(text: &str) -> bool {
    (1..=127).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vault_of_another_domain_gets_no_access_token() {
        for uri in [
            "azurekv://vault.azure.net.example.org/keys/shop",
            "azurekv://example.org/keys/shop",
            "azurekv://127.0.0.1.example.org/keys/shop",
            "azurekv:///keys/shop",
            "azurekv://a.vault.azure.net:443@example.org/keys/shop",
            "azurekv://example.org:x.vault.azure.net/keys/shop",
            "azurekv://example.org:443:x.vault.azure.net/keys/shop",
            "azurekv://.vault.azure.net/keys/shop",
        ] {
            assert!(VaultUri::parse(uri, "").is_err(), "{uri}");
        }
    }

    #[test]
    fn uri_that_is_neither_a_key_nor_a_secret_is_refused() {
        for path in [
            "certificates/shop",
            "keys",
            "keys/a_b",
            "keys/shop/1/2",
            "keys/shop/a.b",
            "shop",
            "keys/shop?version=1",
        ] {
            assert!(VaultUri::parse(&format!("azurekv://a.vault.azure.net/{path}"), "").is_err(), "{path}");
        }
    }

    #[test]
    fn uri_names_vault_collection_name_and_version() {
        let uri = VaultUri::parse("azurekv://plant.vault.azure.net/secrets/shop-key/0123", "").unwrap();
        assert_eq!(uri.vault, "https://plant.vault.azure.net");
        assert_eq!(uri.resource, "https://vault.azure.net");
        assert_eq!(
            (uri.collection, uri.name.as_str(), uri.version.as_deref()),
            (Collection::Secrets, "shop-key", Some("0123"))
        );
    }
}
