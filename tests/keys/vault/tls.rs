//! Connections with TLS: the certificate of the server is verified before a token is sent.

use std::fs;

use serde_json::json;
use taskseal::keys::{Algorithm, KeyErrorKind, KeyUsage};
use taskseal_tests::authority::Authority;
use taskseal_tests::vault::ContractVault;

use super::{Site, open, refused};

const SECRET: &str = "vault://secret/data/producer";

/// A site whose server has a certificate of an authority, which `ca_file` may name.
fn site(authority: &Authority, lines: &str) -> Site {
    let site = Site::of(ContractVault::start_tls(authority), &format!("token = \"file:token\"\n{lines}"));
    site.secret("token", "root-token");
    let (_, pem) = site.key(Algorithm::Es256);
    site.server.put("producer", json!({ "key": pem }));
    site
}

#[test]
fn server_with_the_certificate_of_another_authority_gets_no_token() {
    let (Some(authority), Some(other)) = (Authority::create(), Authority::create()) else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let system = site(&authority, "timeout = \"1s\"\n");
    let foreign = site(&authority, "timeout = \"1s\"\nca_file = \"ca.crt\"\n");
    fs::copy(other.file("ca.crt"), foreign.path("ca.crt")).unwrap();
    for site in [system, foreign] {
        let error = refused(&site.host(), SECRET, KeyUsage::Sign);
        assert_eq!(error.kind, KeyErrorKind::Unavailable);
        assert!(error.message.contains("certificate"), "{error}");
        assert_eq!(site.server.requests(), Vec::<String>::new());
    }
}

#[test]
fn file_of_authorities_that_is_missing_or_has_no_certificate_is_named() {
    let site = Site::without_token("token = \"file:token\"\nca_file = \"ca.crt\"\n");
    site.secret("token", "root-token");
    let text = fs::read_to_string(site.path("taskseal.toml")).unwrap();
    fs::write(site.path("taskseal.toml"), text.replace("http://", "https://")).unwrap();
    let missing = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(missing.kind, KeyErrorKind::Unavailable);
    assert!(missing.message.contains("ca.crt: No such file"), "{missing}");

    fs::write(site.path("ca.crt"), "hunter2").unwrap();
    let empty = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(empty.kind, KeyErrorKind::Invalid);
    assert!(empty.message.ends_with("ca.crt: contains no certificate"), "{empty}");
}

#[test]
fn file_of_authorities_that_is_corrected_is_read_again() {
    let (Some(authority), Some(other)) = (Authority::create(), Authority::create()) else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let site = site(&authority, "timeout = \"1s\"\nca_file = \"ca.crt\"\n");
    fs::copy(other.file("ca.crt"), site.path("ca.crt")).unwrap();
    let host = site.host();
    assert_eq!(refused(&host, SECRET, KeyUsage::Sign).kind, KeyErrorKind::Unavailable);
    fs::copy(authority.file("ca.crt"), site.path("ca.crt")).unwrap();
    open(&host, SECRET, KeyUsage::Sign).unwrap();
}

#[test]
fn server_whose_authority_the_configuration_names_is_used() {
    let Some(authority) = Authority::create() else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let site = site(&authority, "ca_file = \"ca.crt\"\n");
    fs::copy(authority.file("ca.crt"), site.path("ca.crt")).unwrap();
    open(&site.host(), SECRET, KeyUsage::Sign).unwrap();
    assert_eq!(site.server.count("GET secret/data/producer"), 1);
}
