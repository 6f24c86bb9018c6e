//! Logins: tokens, AppRole, Kubernetes; expired and renewed tokens; namespaces.

use std::fs;

use serde_json::json;
use taskseal::Config;
use taskseal::keys::{Algorithm, KeyErrorKind, KeyUsage};

use super::{Site, open, refused};

const SECRET: &str = "vault://secret/data/producer";
const APP_ROLE: &str = "auth = \"approle\"\nrole_id = \"file:role-id\"\nsecret_id = \"file:secret-id\"\n";

fn with_secret(site: Site) -> Site {
    let (_, pem) = site.key(Algorithm::Es256);
    site.server.put("producer", json!({ "key": pem }));
    site
}

fn app_role() -> Site {
    let site = with_secret(Site::without_token(APP_ROLE));
    site.server.app_role("plant", "hunter2");
    site.secret("role-id", "plant");
    site.secret("secret-id", "hunter2\n");
    site
}

#[test]
fn refused_credentials_are_reported_as_such_and_not_shown() {
    let site = with_secret(Site::new(""));
    site.server.replace_token("another");
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::CredentialsRefused);
    assert_eq!(error.message, "auth/token/lookup-self: status 403: permission denied");

    let site = app_role();
    site.secret("secret-id", "hunter2-old");
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::CredentialsRefused);
    assert_eq!(error.message, "auth/approle/login: status 500: invalid secret id");
    site.secret("role-id", "other");
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::CredentialsRefused);
    assert_eq!(error.message, "auth/approle/login: status 400: invalid role ID");
}

#[test]
fn credential_that_cannot_be_read_is_named_with_its_field() {
    let site = Site::new("");
    fs::remove_file(site.path("token")).unwrap();
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::Unavailable);
    assert!(error.message.contains("token: vault.token: cannot be read: no such file"), "{error}");
    assert_eq!(site.server.requests(), Vec::<String>::new());
}

#[test]
fn call_that_the_policy_denies_is_refused_without_a_login_for_each_attempt() {
    let site = app_role();
    site.server.deny(true);
    let host = site.host();
    for _ in 0..3 {
        let error = refused(&host, SECRET, KeyUsage::Sign);
        assert_eq!(error.kind, KeyErrorKind::CredentialsRefused);
        assert!(error.message.contains("permission denied"), "{error}");
    }
    assert_eq!(site.server.count("POST auth/approle/login"), 2);

    site.server.deny(false);
    open(&host, SECRET, KeyUsage::Sign).unwrap();
}

#[test]
fn token_that_has_expired_is_replaced_by_one_login() {
    let site = app_role();
    let host = site.host();
    for _ in 0..3 {
        open(&host, SECRET, KeyUsage::Sign).unwrap();
    }
    assert_eq!(site.server.count("POST auth/approle/login"), 1);

    site.server.replace_token("another");
    for _ in 0..3 {
        open(&host, SECRET, KeyUsage::Sign).unwrap();
    }
    assert_eq!(site.server.count("POST auth/approle/login"), 2);
}

#[test]
fn token_file_is_read_again_after_a_refusal() {
    let site = with_secret(Site::new(""));
    let host = site.host();
    open(&host, SECRET, KeyUsage::Sign).unwrap();
    site.server.replace_token("root-token-2");
    site.secret("token", "root-token-2");
    open(&host, SECRET, KeyUsage::Sign).unwrap();
    assert_eq!(site.server.count("GET auth/token/lookup-self"), 2);
}

#[test]
fn token_is_renewed_before_it_ends() {
    let site = app_role();
    site.server.lease(1);
    let host = site.host();
    // Each call looks whether a renewal is due.
    while site.server.count("POST auth/token/renew-self") < 2 {
        open(&host, SECRET, KeyUsage::Sign).unwrap();
    }
}

#[test]
fn token_that_no_renewal_extends_is_replaced_by_a_login() {
    let site = app_role();
    site.server.lease(1);
    site.server.lease_after_renewal(0);
    let host = site.host();
    while site.server.count("POST auth/approle/login") < 2 {
        open(&host, SECRET, KeyUsage::Sign).unwrap();
    }
    assert_eq!(site.server.count("POST auth/token/renew-self"), 1);
}

#[test]
fn service_account_of_kubernetes_logs_in() {
    let lines = "auth = \"kubernetes\"\nmount = \"kubernetes\"\nrole = \"producer\"\njwt = \"file:jwt\"\n";
    let site = with_secret(Site::without_token(lines));
    site.server.service_account("producer", "hunter2.jwt");
    site.secret("jwt", "hunter2.old");
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::CredentialsRefused);
    site.server.service_account("other", "hunter2.jwt");
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::CredentialsRefused);
    assert!(error.message.ends_with("status 400: invalid role name \"producer\""), "{error}");
    site.server.service_account("producer", "hunter2.jwt");

    site.secret("jwt", "hunter2.jwt");
    open(&site.host(), SECRET, KeyUsage::Sign).unwrap();
}

#[test]
fn requests_name_the_namespace() {
    let site = with_secret(Site::new(""));
    site.server.in_namespace("plants/a");
    assert_eq!(refused(&site.host(), SECRET, KeyUsage::Sign).kind, KeyErrorKind::NotFound);

    let text = fs::read_to_string(site.path("taskseal.toml")).unwrap();
    fs::write(site.path("taskseal.toml"), text + "namespace = \"plants/a\"\n").unwrap();
    open(&site.host(), SECRET, KeyUsage::Sign).unwrap();
}

#[test]
fn section_with_an_address_without_tls_or_fields_of_another_login_is_refused() {
    for (lines, message) in [
        ("address = \"http://vault.example:8200\"", "http: is for servers on this machine only"),
        ("address = \"http://127.0.0.1.example:8200\"", "http: is for servers on this machine only"),
        ("address = \"https://root-token@vault\"", "not the address of a server"),
        ("address = \"https://vault/v1\"", "not the address of a server"),
        ("address = \"vault:8200\"", "not the address of a server"),
        (
            "address = \"https://vault\"\ntoken = \"root-token\"",
            "not the URI of a secret, and this file is not secret",
        ),
        ("address = \"https://vault\"\nrole_id = \"file:r\"", "`role_id` does not apply to this `auth`"),
        ("address = \"https://vault\"\nauth = \"approle\"\nrole_id = \"file:r\"", "`secret_id` is missing"),
        ("address = \"https://vault\"\nauth = \"kubernetes\"", "`role` is missing"),
    ] {
        let site = Site::without_token("");
        fs::write(site.path("taskseal.toml"), format!("deployment = \"plant\"\n[vault]\n{lines}\n")).unwrap();
        let error = Config::load(&site.path("taskseal.toml")).unwrap_err();
        assert_eq!(error.message, message, "{lines}");
        super::not_shown(&format!("{error} {error:?}"));
    }
}

#[test]
fn key_without_the_section_is_refused() {
    let site = Site::without_token("");
    fs::write(site.path("taskseal.toml"), "deployment = \"plant\"\n").unwrap();
    let host = site.host();
    let error = host.key_stores.parse(SECRET, &host.file).unwrap_err();
    assert_eq!(error.message, "no section [vault], which names the server");
}
