//! Secrets in AWS Secrets Manager: of an emulator, and faults of a contract server.

use std::path::Path;

use aws_sdk_secretsmanager::Client;
use serde_json::json;
use taskseal::keys::{
    Algorithm, FetchedSecret, KeyError, KeyErrorKind, KeyHandle, KeyStores, KeyUsage, SecretKey,
};
use taskseal_cloud::Timeouts;
use taskseal_cloud::aws::AwsSecrets;

use super::config;
use super::kms_server::error;
use super::ministack::Ministack;
use crate::contract::{Contract, Reply, Request};
use crate::{HASTY, PATIENT};

fn stores(timeouts: Timeouts) -> KeyStores {
    KeyStores::default().with_source(AwsSecrets::with_config(config()).timeouts(timeouts))
}

fn fetch(uri: &str, timeouts: Timeouts) -> Result<FetchedSecret, KeyError> {
    let stores = stores(timeouts);
    let secret = stores.parse(uri, Path::new("taskseal.toml")).expect("a valid URI");
    stores.fetch(&secret)
}

/// A server with one secret in two versions, as the API reference of `GetSecretValue` describes.
fn server() -> Contract {
    Contract::start(answer)
}

const CURRENT: &str = "aaaaaaaa-0000-4000-8000-000000000002";
const PREVIOUS: &str = "aaaaaaaa-0000-4000-8000-000000000001";

fn answer(request: &Request) -> Reply {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
    assert_eq!(request.header("x-amz-target"), "secretsmanager.GetSecretValue");
    assert!(request.header("authorization").contains("/eu-central-1/secretsmanager/aws4_request"));
    let body = request.json();
    if body["SecretId"] != "plant/shop" {
        return error(400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
    }
    let (stage, id) = (body["VersionStage"].as_str(), body["VersionId"].as_str());
    let version = match (stage, id) {
        (None | Some("AWSCURRENT"), None) => CURRENT,
        (Some("AWSPREVIOUS"), None) => PREVIOUS,
        (None, Some(id)) if id == CURRENT || id == PREVIOUS => id,
        _ => {
            return error(
                400,
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret value.",
            );
        }
    };
    Reply::json(
        200,
        &json!({ "Name": "plant/shop", "VersionId": version, "SecretString": format!("secret of {version}") }),
    )
}

#[test]
fn secret_or_version_that_does_not_exist_is_not_found() {
    let server = server();
    for name in [
        "plant/other",
        "plant/shop?version=AWSPENDING",
        "plant/shop?version=aaaaaaaa-0000-4000-8000-000000000009",
    ] {
        let fault = fetch(&format!("awssm://{}/{name}", server.address()), PATIENT).unwrap_err();
        assert_eq!(fault.kind, KeyErrorKind::NotFound, "{fault}");
        assert_eq!(server.take_requests().len(), 1);
    }
}

#[test]
fn expired_credentials_and_a_deleted_secret_are_errors_at_once() {
    let server = server();
    let uri = format!("awssm://{}/plant/shop", server.address());
    for (code, kind) in [
        ("ExpiredTokenException", KeyErrorKind::CredentialsRefused),
        ("AccessDeniedException", KeyErrorKind::CredentialsRefused),
        ("InvalidRequestException", KeyErrorKind::Unavailable),
    ] {
        server.reply_next([error(400, code, "no")]);
        assert_eq!(fetch(&uri, PATIENT).unwrap_err().kind, kind, "{code}");
        assert_eq!(server.take_requests().len(), 1);
    }
}

#[test]
fn secret_is_fetched_again_after_throttling_silence_and_an_outage() {
    let server = server();
    let throttled = error(400, "ThrottlingException", "Rate exceeded");
    let internal = error(500, "InternalServiceError", "no");
    server.reply_next([throttled, Reply::Silence, Reply::HangUp, internal]);

    let secret = fetch(&format!("awssm://{}/plant/shop", server.address()), HASTY).unwrap();

    assert_eq!(secret.content(), format!("secret of {CURRENT}").as_bytes());
}

#[test]
fn version_of_a_secret_is_the_current_one_the_previous_one_or_that_of_an_id() {
    let server = server();
    for (query, version) in [
        ("", CURRENT),
        ("?version=AWSCURRENT", CURRENT),
        ("?version=AWSPREVIOUS", PREVIOUS),
        (concat!("?version=", "aaaaaaaa-0000-4000-8000-000000000001"), PREVIOUS),
    ] {
        let secret = fetch(&format!("awssm://{}/plant/shop{query}", server.address()), PATIENT).unwrap();
        assert_eq!(secret.version(), Some(version), "{query}");
        assert!(!format!("{secret:?}").contains("secret of"));
    }
}

#[test]
fn key_file_in_a_secret_of_the_emulator_opens_in_its_current_and_its_previous_version() {
    let Some(server) = Ministack::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let keys = ["a.key", "b.key"].map(|name| {
        let path = folder.path().join(name);
        let key = SecretKey::create(&path, Algorithm::Es256, "test").unwrap();
        (key.kid(), std::fs::read_to_string(path).unwrap())
    });
    let endpoint = format!("http://{}", server.address());
    let client = Client::new(&config().into_builder().endpoint_url(endpoint).build());
    let [(old, first), (new, second)] = keys;
    server.runtime.block_on(client.create_secret().name("plant/shop").secret_string(first).send()).unwrap();
    server
        .runtime
        .block_on(client.put_secret_value().secret_id("plant/shop").secret_string(second).send())
        .unwrap();
    let stores = stores(PATIENT);
    let open = |query: &str| {
        let uri = format!("awssm://{}/plant/shop{query}", server.address());
        stores.open(&stores.parse(&uri, Path::new("taskseal.toml")).unwrap(), KeyUsage::Sign)
    };

    assert_eq!(open("").unwrap().kid(), new);
    assert_eq!(open("?version=AWSPREVIOUS").unwrap().kid(), old);
    assert!(matches!(open("?version=AWSCURRENT").unwrap(), KeyHandle::Secret(_)));
    assert_eq!(open("?version=unknown").unwrap_err().kind, KeyErrorKind::NotFound);
}
