//! A private certificate authority, and a Redis server with TLS that it has certified.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::redis::RedisServer;

/// An authority in a folder, with a certificate for `localhost` and one for a client.
#[derive(Debug)]
pub struct Authority(TempDir);

impl Authority {
    /// Creates an authority; `None` if there is no `openssl` to create it with.
    #[must_use]
    pub fn create() -> Option<Self> {
        Self::create_for(&[])
    }

    /// Creates an authority whose certificates are for these hosts too.
    #[must_use]
    pub fn create_for(hosts: &[&str]) -> Option<Self> {
        let it = Self(tempfile::tempdir().unwrap());
        let made = it.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -subj /CN=ca \
             -addext basicConstraints=critical,CA:TRUE",
        );
        if !made {
            eprintln!("skipped: openssl cannot make certificates here");
            return None;
        }
        let hosts: String = hosts.iter().map(|host| format!(",DNS:{host}")).collect();
        fs::write(it.file("names"), format!("subjectAltName=DNS:localhost,IP:127.0.0.1{hosts}\n")).unwrap();
        for name in ["server", "client"] {
            assert!(it.openssl(&format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
            )));
            assert!(it.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -extfile names"
            )));
        }
        Some(it)
    }

    /// Path of a file in the folder: `ca.crt`, `server.key`, `client.crt` and so on.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) -> bool {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(self.0.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Starts a server whose certificate is from this authority. `clients` is `yes` if it asks for one of theirs, else `no`.
    #[must_use]
    pub fn redis(&self, tls_port: u16, clients: &str) -> RedisServer {
        let path = |name: &str| self.file(name).display().to_string();
        RedisServer::start_with(&[
            "--tls-port",
            &tls_port.to_string(),
            "--tls-auth-clients",
            clients,
            "--tls-cert-file",
            &path("server.crt"),
            "--tls-key-file",
            &path("server.key"),
            "--tls-ca-cert-file",
            &path("ca.crt"),
        ])
    }
}
