//! The server with TLS.

use std::fs;
use std::io::BufReader;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Shared;
use crate::authority::Authority;

/// Reads the certificate of the server that the authority has made.
pub(super) fn settings(authority: &Authority) -> ServerConfig {
    let read = |name: &str| fs::read(authority.file(name)).expect("the authority has made it");
    let chain = CertificateDer::from_pem_slice(&read("server.crt")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&read("server.key")).expect("a private key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], key))
        .expect("a certificate with its key")
}

/// Answers the requests of one connection.
pub(super) fn serve(stream: TcpStream, settings: Arc<ServerConfig>, shared: &Shared) {
    if let Ok(connection) = ServerConnection::new(settings) {
        shared.serve(&mut BufReader::new(StreamOwned::new(connection, stream)));
    }
}
