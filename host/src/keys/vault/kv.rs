//! Secrets of the KV engine, version 2.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{Client, refusal};
use super::fault::VaultFault;
use super::http::Reply;
use super::login::parse;
use crate::escape::Escaped;
use crate::keys::secret_json;
use crate::keys::secret_source::FetchedSecret;

#[derive(Deserialize)]
struct Read<'r> {
    #[serde(borrow)]
    data: Data<'r>,
}

#[derive(Deserialize)]
struct Data<'r> {
    /// `None` if the version was deleted.
    #[serde(borrow)]
    data: Option<BTreeMap<String, &'r RawValue>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

/// Reads one field of a secret.
pub(super) fn read(
    client: &Client,
    mount: &str,
    path: &str,
    field: &str,
    version: Option<u64>,
) -> Result<FetchedSecret, VaultFault> {
    let path = format!("{mount}/data/{path}");
    let query = version.map(|version| format!("?version={version}")).unwrap_or_default();
    let reply = client.call(&format!("{path}{query}"), None)?;
    if reply.status == 404 {
        return Err(VaultFault::NotFound(missing(&path, version, &reply)));
    }
    let Read { data } = parse(&path, &reply)?;
    let found = data.metadata.version;
    if version.is_some_and(|version| version != found) {
        return Err(VaultFault::Invalid(format!("{path}: the server returned version {found}")));
    }
    let Some(fields) = data.data else { return Err(VaultFault::NotFound(missing(&path, version, &reply))) };
    let value = fields.get(field).ok_or_else(|| {
        VaultFault::NotFound(format!("{path}: version {found} has no field `{}`", Escaped::new(field)))
    })?;
    let content = secret_json::string(value)
        .ok_or_else(|| VaultFault::Invalid(format!("{path}: the field `{field}` is not a text")))?;
    Ok(FetchedSecret::new(content).with_version(found.to_string()))
}

/// Describes a secret that is not there: the server describes deleted versions.
fn missing(path: &str, version: Option<u64>, reply: &Reply) -> String {
    if let Ok(Read { data: Data { metadata, .. } }) = serde_json::from_slice::<Read<'_>>(&reply.body) {
        let Metadata { version, deletion_time, destroyed } = metadata;
        return match destroyed {
            true => format!("{path}: version {version} was destroyed"),
            false => format!("{path}: version {version} was deleted at {}", Escaped::new(&deletion_time)),
        };
    }
    match version {
        Some(version) => format!("{path}: no such secret, or not in version {version}"),
        None => refusal(path, reply),
    }
}
