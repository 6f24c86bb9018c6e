//! TLS to a Redis with a private authority: its certificate is trusted if the configuration names it.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests to clippy only inside a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use taskseal::broker::redis::{RedisBroker, RedisConfig, TlsIdentity};
use taskseal::broker::{Broker, Cause};
use taskseal_tests::redis::RedisServer;

/// An authority in a folder, with a certificate for `localhost` and one for a client.
struct Authority(tempfile::TempDir);

impl Authority {
    /// Creates an authority; `None` if there is no `openssl` to create it with.
    fn create() -> Option<Self> {
        let it = Self(tempfile::tempdir().unwrap());
        let made = it.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -subj /CN=ca \
             -addext basicConstraints=critical,CA:TRUE",
        );
        if !made {
            eprintln!("skipped: openssl cannot make certificates here");
            return None;
        }
        fs::write(it.file("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
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

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) -> bool {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(self.0.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

fn broker(port: u16, roots: Option<&Path>, client: Option<&Authority>) -> RedisBroker {
    let roots = roots.map(|path| fs::read(path).unwrap());
    let client =
        client.map(|it| (fs::read(it.file("client.crt")).unwrap(), fs::read(it.file("client.key")).unwrap()));
    let config = RedisConfig::new(format!("rediss://localhost:{port}/0")).with_tls_reader(move || {
        let client = client.clone().map(|(chain, key)| (chain, key.into()));
        Ok(TlsIdentity { roots: roots.clone(), client })
    });
    RedisBroker::connect(&config).unwrap()
}

#[tokio::test]
async fn certificate_of_a_private_authority_is_trusted_only_if_it_is_configured() {
    let (Some(ours), Some(other)) = (Authority::create(), Authority::create()) else { return };
    let Some(port) = free_port() else { return };
    let path = |name: &str| ours.file(name).display().to_string();
    let _server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("server.crt"),
        "--tls-key-file",
        &path("server.key"),
        "--tls-ca-cert-file",
        &path("ca.crt"),
    ]);

    for (roots, client, cause) in [
        (None, Some(&ours), Cause::ServerCertificate),
        (Some(other.file("ca.crt")), Some(&ours), Cause::ServerCertificate),
        (Some(ours.file("ca.crt")), None, Cause::ClientCertificate),
    ] {
        let error = broker(port, roots.as_deref(), client).ping().await.unwrap_err();
        assert_eq!(error.cause(), Some(cause), "{error}");
    }
    let plain = RedisBroker::connect(&RedisConfig::new(format!("redis://localhost:{port}/0"))).unwrap();
    let error = plain.ping().await.unwrap_err();
    assert_eq!(error.cause(), Some(Cause::Protocol), "{error}");
    broker(port, Some(&ours.file("ca.crt")), Some(&ours)).ping().await.unwrap();
}

fn free_port() -> Option<u16> {
    if taskseal_tests::redis::unavailable().is_some() {
        return None;
    }
    Some(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
}
