//! Secrets of the KV engine: versions, deleted versions, fields.

use serde_json::json;
use taskseal::keys::{Algorithm, KeyErrorKind, KeyUsage};

use super::{Site, not_shown, open, refused};

#[test]
fn secret_that_does_not_exist_or_not_in_this_version_is_not_found() {
    let site = Site::new("");
    site.server.put("producer", json!({ "key": "hunter2" }));
    for (uri, message) in [
        ("vault://secret/data/missing", "secret/data/missing: status 404"),
        (
            "vault://secret/data/producer?version=2",
            "secret/data/producer: no such secret, or not in version 2",
        ),
        ("vault://secret/data/producer?field=pem", "secret/data/producer: version 1 has no field `pem`"),
        ("vault://kv/data/producer", "kv/data/producer: status 404: no handler for route"),
    ] {
        let error = refused(&site.host(), uri, KeyUsage::Sign);
        assert_eq!(error.kind, KeyErrorKind::NotFound, "{error}");
        assert!(error.message.starts_with(message) && error.hint.is_some(), "{error}");
    }
}

#[test]
fn version_that_was_deleted_or_destroyed_is_named() {
    let site = Site::new("");
    for _ in 0..2 {
        site.server.put("producer", json!({ "key": "hunter2" }));
    }
    site.server.remove("producer", false);
    let error = refused(&site.host(), "vault://secret/data/producer", KeyUsage::Sign);
    assert_eq!(
        error.message,
        "secret/data/producer: version 2 was deleted at 2026-11-30T10:00:00.000000000Z"
    );
    assert_eq!(error.kind, KeyErrorKind::NotFound);

    site.server.remove("producer", true);
    let error = refused(&site.host(), "vault://secret/data/producer?version=2", KeyUsage::Sign);
    assert_eq!(error.message, "secret/data/producer: version 2 was destroyed");
}

#[test]
fn field_that_is_not_a_key_is_refused_and_not_shown() {
    let site = Site::new("");
    for value in [json!("hunter2"), json!(["hunter2"]), json!(7)] {
        site.server.put("producer", json!({ "key": value }));
        let error = refused(&site.host(), "vault://secret/data/producer", KeyUsage::Sign);
        assert_eq!(error.kind, KeyErrorKind::Invalid, "{error}");
    }
}

#[test]
fn key_is_that_of_the_version_that_the_uri_names_or_the_latest() {
    let site = Site::new("");
    let ((first, first_pem), (second, second_pem)) = (site.key(Algorithm::Es256), site.key(Algorithm::Es256));
    site.server.put("plant/producer", json!({ "key": first_pem, "other": 7 }));
    site.server.put("plant/producer", json!({ "key": second_pem }));
    let host = site.host();
    for (query, expected) in [("", &second), ("?version=2", &second), ("?version=1&field=key", &first)] {
        let uri = format!("vault://secret/data/plant/producer{query}");
        let key = open(&host, &uri, KeyUsage::Sign).unwrap();
        assert_eq!(key.kid(), expected.kid(), "{uri}");
    }
    let reads: Vec<_> =
        site.server.requests().into_iter().filter(|line| line.contains("secret/data")).collect();
    assert_eq!(reads[2], "GET secret/data/plant/producer?version=1");
}

#[test]
fn password_is_a_field_with_its_version() {
    let site = Site::new("");
    site.server.put("redis", json!({ "password": "hunter2\n\"é\\" }));
    let stores = site.host().key_stores;
    let place = stores.parse("vault:secret/data/redis?field=password", &site.path("taskseal.toml")).unwrap();
    let secret = stores.fetch(&place).unwrap();
    assert_eq!(secret.content(), "hunter2\n\"é\\".as_bytes());
    assert_eq!(secret.version(), Some("1"));
    not_shown(&format!("{secret:?} {place:?}"));
}
