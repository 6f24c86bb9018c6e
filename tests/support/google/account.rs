//! Access tokens: of a service account with a key file (RFC 7523), and of the metadata server.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};

use super::GoogleState;
use crate::contract::{Reply, Request};

/// An RSA key that is used by tests alone.
const SERVICE_ACCOUNT: &str = include_str!("service_account.pem");

pub(super) fn key_file(token_uri: &str) -> Value {
    json!({
        "type": "service_account", "project_id": "p", "client_id": "1", "client_email": "shop@p.iam.gserviceaccount.com",
        "private_key_id": "k1", "private_key": SERVICE_ACCOUNT, "token_uri": token_uri,
    })
}

pub(super) fn token(state: &GoogleState) -> Reply {
    Reply::json(200, &json!({ "access_token": state.token, "expires_in": 3599, "token_type": "Bearer" }))
}

/// Verifies the assertion with the public key of the service account.
pub(super) fn token_of_assertion(request: &Request, state: &GoogleState) -> Reply {
    assert!(request.header("content-type").starts_with("application/x-www-form-urlencoded"));
    let form = String::from_utf8(request.body.clone()).unwrap();
    let fields: Vec<(&str, &str)> = form.split('&').filter_map(|field| field.split_once('=')).collect();
    let field =
        |name: &str| fields.iter().find(|(other, _)| *other == name).map(|(_, value)| *value).unwrap();
    assert_eq!(field("grant_type"), "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    let (signed, signature) = field("assertion").rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let read =
        |part: &str| serde_json::from_slice::<Value>(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap();
    let (header, claims) = (read(header), read(claims));
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    assert_eq!(claims["iss"], "shop@p.iam.gserviceaccount.com");
    if claims.get("target_audience").is_some() {
        // `gcloud` requests an identity token too. It is not sent to the services.
        return Reply::json(200, &json!({ "id_token": field("assertion") }));
    }
    let scopes = claims["scope"].as_str().expect("a scope");
    assert!(scopes.split(' ').any(|scope| scope == "https://www.googleapis.com/auth/cloud-platform"));
    let audience = claims["aud"].as_str().unwrap();
    let own = format!("://{}/token", request.header("host"));
    assert!(audience.ends_with(&own), "{audience} is not {own}");
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!((1..=3600).contains(&lifetime), "the lifetime of an assertion is at most one hour");
    let (_, der) = pem_rfc7468::decode_vec(SERVICE_ACCOUNT.as_bytes()).unwrap();
    let pair = RsaKeyPair::from_pkcs8(&der).unwrap();
    let public: RsaPublicKeyComponents<Vec<u8>> = pair.public().into();
    let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
    public
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
        .expect("the signature verifies");
    token(state)
}
