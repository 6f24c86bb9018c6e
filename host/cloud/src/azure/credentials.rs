//! Credentials of Azure: a client secret, a federated token, or the managed identity of the machine.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use taskseal::keys::{KeyRef, KeyStores};
use zeroize::Zeroizing;

use crate::access_token::form;
use crate::fault::Fault;
use crate::rest::{RestAnswer, RestBody, RestClient};
use crate::timeouts::Deadline;
use crate::uri::{is_confidential, is_local};

/// How this process authenticates to Azure.
#[derive(Clone)]
pub struct AzureCredentials(Kind);

#[derive(Clone)]
enum Kind {
    ClientSecret {
        authority: String,
        tenant: String,
        client: String,
        secret: Zeroizing<String>,
    },
    /// The token of a service account of Kubernetes, which an application of Microsoft Entra ID trusts.
    FederatedToken {
        authority: String,
        tenant: String,
        client: String,
        file: PathBuf,
    },
    /// The endpoint of virtual machines and Kubernetes nodes.
    InstanceMetadata {
        host: String,
        client: Option<String>,
    },
    /// The endpoint of App Service, Functions and Container Apps.
    AppService {
        endpoint: String,
        header: Zeroizing<String>,
        client: Option<String>,
    },
}

impl fmt::Debug for AzureCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::ClientSecret { .. } => "client secret",
            Kind::FederatedToken { .. } => "federated token",
            Kind::InstanceMetadata { .. } => "instance metadata",
            Kind::AppService { .. } => "app service",
        };
        f.debug_tuple("AzureCredentials").field(&kind).finish()
    }
}

const AUTHORITY: &str = "https://login.microsoftonline.com";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const METADATA: &str = "http://169.254.169.254";

impl AzureCredentials {
    /// Creates the credentials of an application with a client secret.
    pub fn client_secret(
        tenant: impl Into<String>,
        client: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        let authority = AUTHORITY.to_owned();
        let secret = Zeroizing::new(secret.into());
        Self(Kind::ClientSecret { authority, tenant: tenant.into(), client: client.into(), secret })
    }

    /// Creates the credentials of an application that trusts the token in `file`: workload identity of Kubernetes. The file is read for
    /// each access token.
    pub fn federated_token(
        tenant: impl Into<String>,
        client: impl Into<String>,
        file: impl Into<PathBuf>,
    ) -> Self {
        let authority = AUTHORITY.to_owned();
        Self(Kind::FederatedToken {
            authority,
            tenant: tenant.into(),
            client: client.into(),
            file: file.into(),
        })
    }

    /// Creates the managed identity of a virtual machine. `client` selects one of several identities.
    #[must_use]
    pub fn managed_identity(client: Option<String>) -> Self {
        Self(Kind::InstanceMetadata { host: METADATA.to_owned(), client })
    }

    /// Sets the URL of the authority of a client secret or a federated token, or of the metadata service of a managed identity.
    #[must_use]
    pub fn endpoint(self, url: impl Into<String>) -> Self {
        let url = url.into().trim_end_matches('/').to_owned();
        Self(match self.0 {
            Kind::ClientSecret { tenant, client, secret, .. } => {
                Kind::ClientSecret { authority: url, tenant, client, secret }
            }
            Kind::FederatedToken { tenant, client, file, .. } => {
                Kind::FederatedToken { authority: url, tenant, client, file }
            }
            Kind::InstanceMetadata { client, .. } => Kind::InstanceMetadata { host: url, client },
            Kind::AppService { header, client, .. } => Kind::AppService { endpoint: url, header, client },
        })
    }

    /// Reads the variables that the Azure SDKs read: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET` and
    /// `AZURE_AUTHORITY_HOST`, with `AZURE_FEDERATED_TOKEN_FILE` in place of a secret; else `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`; else the metadata service of the machine, or the
    /// one in `AZURE_POD_IDENTITY_AUTHORITY_HOST`.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let client = variable("AZURE_CLIENT_ID");
        let application = (variable("AZURE_TENANT_ID"), client.clone(), variable("AZURE_CLIENT_SECRET"));
        let file = variable("AZURE_FEDERATED_TOKEN_FILE");
        let credentials = match application {
            (Some(tenant), Some(client), Some(secret)) => Some(Self::client_secret(tenant, client, secret)),
            (Some(tenant), Some(client), None) => {
                file.map(|file| Self::federated_token(tenant, client, file))
            }
            _ => None,
        };
        if let Some(credentials) = credentials {
            return match variable("AZURE_AUTHORITY_HOST") {
                Some(authority) => credentials.endpoint(authority),
                None => credentials,
            };
        }
        if let (Some(endpoint), Some(header)) = (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
            return Self(Kind::AppService { endpoint, header: Zeroizing::new(header), client });
        }
        let identity = Self::managed_identity(client);
        match variable("AZURE_POD_IDENTITY_AUTHORITY_HOST") {
            Some(host) => identity.endpoint(host),
            None => identity,
        }
    }

    /// Returns whether a service on this machine issues the access tokens, as emulators do.
    pub(super) fn is_of_this_machine(&self) -> bool {
        let (Kind::ClientSecret { authority: url, .. }
        | Kind::FederatedToken { authority: url, .. }
        | Kind::InstanceMetadata { host: url, .. }
        | Kind::AppService { endpoint: url, .. }) = &self.0;
        is_local(url)
    }

    /// Requests an access token for a resource.
    pub(super) fn request(
        &self,
        rest: &RestClient,
        resource: &str,
        deadline: &Deadline,
    ) -> Result<RestAnswer, Fault> {
        let limit = deadline.next_attempt();
        match &self.0 {
            Kind::ClientSecret { authority, tenant, client, secret } => {
                let credential = [("client_secret", secret.as_str())];
                request_from(rest, (authority, tenant, client), &credential, resource, limit)
            }
            Kind::FederatedToken { authority, tenant, client, file } => {
                let token = KeyStores::default().fetch(&KeyRef::from(file.as_path()));
                let token = token.map_err(|error| Fault::credentials(error.to_string()))?;
                let token = str::from_utf8(token.content()).unwrap_or_default().trim();
                let credential = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", token)];
                request_from(rest, (authority, tenant, client), &credential, resource, limit)
            }
            Kind::InstanceMetadata { host, client } => {
                let query = identity_query("2018-02-01", resource, client.as_deref());
                let url = format!("{host}/metadata/identity/oauth2/token?{query}");
                rest.call(&url, &[("metadata", "true")], &RestBody::None, limit)
            }
            Kind::AppService { endpoint, header, client } => {
                let query = identity_query("2019-08-01", resource, client.as_deref());
                rest.call(
                    &format!("{endpoint}?{query}"),
                    &[("x-identity-header", header)],
                    &RestBody::None,
                    limit,
                )
            }
        }
    }
}

/// Requests an access token of an application (RFC 6749 section 4.4, RFC 7523 section 2.2).
fn request_from(
    rest: &RestClient,
    (authority, tenant, client): (&str, &str, &str),
    credential: &[(&str, &str)],
    resource: &str,
    limit: Duration,
) -> Result<RestAnswer, Fault> {
    if !is_confidential(authority) {
        return Err(Fault::credentials(
            "the URL of the authority must begin with https: the client secret would be sent in clear text",
        ));
    }
    let scope = format!("{resource}/.default");
    let mut fields = vec![("grant_type", "client_credentials"), ("client_id", client)];
    fields.extend_from_slice(credential);
    fields.push(("scope", &scope));
    let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
    rest.call(&url, &[], &RestBody::Form(&form(&fields)), limit)
}

fn identity_query(version: &str, resource: &str, client: Option<&str>) -> String {
    let mut fields = vec![("api-version", version), ("resource", resource)];
    fields.extend(client.map(|client| ("client_id", client)));
    String::from_utf8_lossy(&form(&fields)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Kind {
        let find = |name: &str| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        };
        AzureCredentials::from_variables(find).0
    }

    #[test]
    fn credentials_show_no_secret() {
        let credentials = AzureCredentials::client_secret("tenant", "client", "secret77");
        assert!(!format!("{credentials:?}").contains("secret77"));
    }

    #[test]
    fn client_secret_that_is_empty_or_incomplete_is_not_used() {
        let tenant = ("AZURE_TENANT_ID", "t");
        let client = ("AZURE_CLIENT_ID", "c");
        assert!(matches!(
            of(&[tenant, client, ("AZURE_CLIENT_SECRET", "")]),
            Kind::InstanceMetadata { client: Some(_), .. }
        ));
        assert!(matches!(
            of(&[tenant, ("AZURE_CLIENT_SECRET", "s")]),
            Kind::InstanceMetadata { client: None, .. }
        ));
    }

    #[test]
    fn variables_of_the_environment_choose_the_endpoint() {
        let secret = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "s")];
        assert!(matches!(of(&secret), Kind::ClientSecret { authority, .. } if authority == AUTHORITY));
        let pod = [
            ("AZURE_TENANT_ID", "t"),
            ("AZURE_CLIENT_ID", "c"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/a"),
            ("AZURE_AUTHORITY_HOST", "https://a/"),
        ];
        assert!(matches!(of(&pod), Kind::FederatedToken { authority, .. } if authority == "https://a"));
        let service = [("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi"), ("IDENTITY_HEADER", "h")];
        assert!(
            matches!(of(&service), Kind::AppService { endpoint, .. } if endpoint == "http://127.0.0.1:1/msi")
        );
        let pod = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:2/")];
        assert!(matches!(of(&pod), Kind::InstanceMetadata { host, .. } if host == "http://127.0.0.1:2"));
        assert!(matches!(of(&[]), Kind::InstanceMetadata { host, .. } if host == METADATA));
    }
}
