//! What an administrator does with `gcloud`: creates keys and secrets.

use base64ct::{Base64, Encoding as _};
use serde_json::json;

use super::{GoogleState, error};
use crate::contract::{Reply, Request};

/// Returns the answer to a call; `None` if it is not one of these.
pub(super) fn answer(method: &str, path: &str, request: &Request, state: &mut GoogleState) -> Option<Reply> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let field = |name: &str| {
        let fields = query.split('&').filter_map(|field| field.split_once('='));
        fields.into_iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    };
    if method == "POST" && path.ends_with("/keyRings") {
        return Some(Reply::json(200, &json!({ "name": format!("{path}/{}", field("keyRingId")?) })));
    }
    if method == "POST" && path.ends_with("/cryptoKeys") {
        let body = request.json();
        let version = &body["versionTemplate"]["algorithm"];
        if body["purpose"] != "ASYMMETRIC_SIGN" || version != state.algorithm {
            return Some(error(400, "INVALID_ARGUMENT"));
        }
        let name = format!("{path}/{}", field("cryptoKeyId")?);
        state.keys.push(format!("{name}/cryptoKeyVersions/1"));
        return Some(Reply::json(200, &json!({ "name": name, "purpose": "ASYMMETRIC_SIGN" })));
    }
    if method == "POST" && path.ends_with("/secrets") {
        let name = format!("{path}/{}", field("secretId")?);
        state.secrets.insert(name.clone(), None);
        return Some(Reply::json(200, &json!({ "name": name, "replication": { "automatic": {} } })));
    }
    let secret = path.strip_suffix(":addVersion").filter(|_| method == "POST")?;
    let value = Base64::decode_vec(request.json()["payload"]["data"].as_str()?).ok()?;
    *state.secrets.get_mut(secret)? = Some((1, value));
    Some(Reply::json(200, &json!({ "name": format!("{secret}/versions/1"), "state": "ENABLED" })))
}
