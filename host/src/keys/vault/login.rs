//! Logins: how a token is issued for this process, and renewed.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::client::{Client, refusal};
use super::fault::VaultFault;
use super::http::Reply;
use super::session::Session;
use super::settings::VaultAuth;
use crate::file_security;
use crate::keys::error::KeyError;
use crate::keys::reference::KeyRef;
use crate::keys::secret_json;

/// The token in the reply to a login or a renewal.
#[derive(Deserialize)]
struct Issued<'r> {
    #[serde(borrow)]
    auth: Auth<'r>,
}

#[derive(Deserialize)]
struct Auth<'r> {
    #[serde(borrow)]
    client_token: &'r RawValue,
    lease_duration: u64,
    renewable: bool,
}

/// What the server says about a token.
#[derive(Deserialize)]
struct LookedUp {
    data: TokenData,
}

#[derive(Deserialize)]
struct TokenData {
    ttl: u64,
    renewable: bool,
}

/// Logs in. Credentials are fetched each time: they may have been replaced.
pub(super) fn login(client: &Client, deadline: Instant) -> Result<Session, VaultFault> {
    #[derive(Serialize)]
    struct AppRole<'a> {
        role_id: &'a str,
        secret_id: &'a str,
    }
    #[derive(Serialize)]
    struct Kubernetes<'a> {
        role: &'a str,
        jwt: &'a str,
    }
    match &client.settings().auth {
        VaultAuth::Token(token) => of_token(client, credential(client, token)?, deadline),
        VaultAuth::AppRole { mount, role_id, secret_id } => {
            let (role_id, secret_id) = (credential(client, role_id)?, credential(client, secret_id)?);
            let body = AppRole { role_id: &role_id, secret_id: &secret_id };
            let path = format!("auth/{mount}/login");
            issued(&path, &client.call_with(&path, None, Some(&body), deadline)?)
        }
        VaultAuth::Kubernetes { mount, role, jwt } => {
            let jwt = credential(client, jwt)?;
            let path = format!("auth/{mount}/login");
            let body = Kubernetes { role, jwt: &jwt };
            issued(&path, &client.call_with(&path, None, Some(&body), deadline)?)
        }
    }
}

/// Renews the token of a session.
pub(super) fn renew(client: &Client, session: &mut Session, deadline: Instant) -> Result<(), VaultFault> {
    #[derive(Serialize)]
    struct Nothing {}
    let path = "auth/token/renew-self";
    let reply = client.call_with(path, Some(&session.token), Some(&Nothing {}), deadline)?;
    let Issued { auth } = parse(path, &reply)?;
    session.renewed(auth.lease_duration, auth.renewable, Instant::now());
    Ok(())
}

/// Returns the session of a token that was issued elsewhere.
fn of_token(client: &Client, token: Zeroizing<String>, deadline: Instant) -> Result<Session, VaultFault> {
    let path = "auth/token/lookup-self";
    let reply = client.call_with(path, Some(&token), None, deadline)?;
    let LookedUp { data } = parse(path, &reply)?;
    Ok(Session::new(token, data.ttl, data.renewable, Instant::now()))
}

fn issued(path: &str, reply: &Reply) -> Result<Session, VaultFault> {
    let Issued { auth } = parse(path, reply)?;
    let token = secret_json::string(auth.client_token)
        .and_then(|text| str::from_utf8(&text).ok().map(|text| Zeroizing::new(text.to_owned())));
    let token = token.ok_or_else(|| VaultFault::Invalid(format!("{path}: the reply has no token")))?;
    Ok(Session::new(token, auth.lease_duration, auth.renewable, Instant::now()))
}

/// Fetches a credential of this process, which is one line.
fn credential(client: &Client, place: &KeyRef) -> Result<Zeroizing<String>, VaultFault> {
    let secret = client.settings().stores.fetch(place).map_err(VaultFault::Credential)?;
    let line = file_security::one_line(secret.content())
        .map_err(|message| VaultFault::Credential(KeyError::invalid(place, message)))?;
    Ok(Zeroizing::new(line.to_owned()))
}

/// Parses a reply. The error does not show it.
pub(super) fn parse<'r, T: Deserialize<'r>>(path: &str, reply: &'r Reply) -> Result<T, VaultFault> {
    if reply.status == 404 {
        return Err(VaultFault::NotFound(refusal(path, reply)));
    }
    serde_json::from_slice(&reply.body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        VaultFault::Invalid(format!(
            "{path}: the reply is not the expected JSON (line {line}, column {column})"
        ))
    })
}
