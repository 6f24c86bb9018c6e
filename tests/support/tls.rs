//! TLS of the servers that tests start.

use std::fs;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::authority::Authority;

/// Reads the certificate of the server that the authority has made.
pub(crate) fn settings(authority: &Authority) -> ServerConfig {
    let read = |name: &str| fs::read(authority.file(name)).expect("the authority has made it");
    let chain = CertificateDer::from_pem_slice(&read("server.crt")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&read("server.key")).expect("a private key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], key))
        .expect("a certificate with its key")
}
