//! TLS to a Redis with a private authority: its certificate is trusted if the configuration names it.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests to clippy only inside a test")]

use std::fs;
use std::path::Path;

use taskseal::broker::redis::{RedisBroker, RedisConfig, TlsIdentity};
use taskseal::broker::{Broker, Cause};
use taskseal_tests::authority::Authority;

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
    let _server = ours.redis(port, "yes");

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
