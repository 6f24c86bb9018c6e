//! TLS to Redis as `taskseal.toml` configures it: which authorities are trusted, and who may read the client's key.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use taskseal_tests::authority::Authority;
use taskseal_tests::redis::{RedisServer, unavailable};

use crate::support::program::{Run, run_with_environment};
use crate::support::project::Project;

/// A project whose queue is on a Redis that `authority` has certified, with these further fields of `[broker]`.
fn project(port: u16, fields: &str) -> Project {
    let project = Project::new();
    let url = format!("url = \"rediss://localhost:{port}/0\"\n{fields}");
    project.edit("taskseal.toml", "# url = \"rediss://taskseal@redis.example:6380/0\"", &url);
    project
}

fn start(authority: &Authority, clients: &str) -> Option<(RedisServer, u16)> {
    if let Some(reason) = unavailable() {
        eprintln!("skipped: {reason}");
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Some((authority.redis(port, clients), port))
}

fn list(project: &Project, environment: &[(&str, &Path)]) -> Run {
    run_with_environment(project.dir.path(), environment, &["queue", "ls"], b"")
}

#[test]
fn authorities_of_the_system_are_trusted_unless_others_are_configured() {
    let (Some(ours), Some(other)) = (Authority::create(), Authority::create()) else { return };
    let Some((_server, port)) = start(&ours, "no") else { return };
    let (ours, other) = (ours.file("ca.crt"), other.file("ca.crt"));

    let run = list(&project(port, ""), &[("SSL_CERT_FILE", &other)]);
    run.failed(5).hinted();
    assert!(run.err.contains("ca_file"), "{run:?}");
    let configured = format!("ca_file = \"{}\"", other.display());
    list(&project(port, &configured), &[("SSL_CERT_FILE", &ours)]).failed(5).hinted();

    list(&project(port, ""), &[("SSL_CERT_FILE", &ours)]).ok();
    let configured = format!("ca_file = \"{}\"", ours.display());
    list(&project(port, &configured), &[("SSL_CERT_FILE", &other)]).ok();
}

#[test]
fn key_of_the_client_is_a_secret_file_or_a_credential() {
    let Some(authority) = Authority::create() else { return };
    let Some((_server, port)) = start(&authority, "yes") else { return };
    let (folder, key) = (authority.file(""), authority.file("client.key"));
    let fields = |key: &str| {
        let certificates = ["ca", "client"].map(|name| authority.file(&format!("{name}.crt")));
        let [ca, chain] = certificates.map(|path| path.display().to_string());
        project(port, &format!("ca_file = \"{ca}\"\ncert_file = \"{chain}\"\nkey_file = \"{key}\""))
    };
    let (by_path, by_name) = (fields(&key.display().to_string()), fields("cred:client.key"));
    let credentials = ("CREDENTIALS_DIRECTORY", folder.as_path());

    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    for (project, environment) in [(&by_path, [].as_slice()), (&by_name, &[credentials])] {
        let run = list(project, environment);
        run.failed(1).hinted();
        assert!(run.err.contains("client.key: contains a secret and is accessible"), "{run:?}");
    }
    let run = list(&by_name, &[]);
    run.failed(1).hinted();
    assert!(run.err.contains("CREDENTIALS_DIRECTORY is not set"), "{run:?}");

    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    list(&by_path, &[]).ok();
    list(&by_name, &[credentials]).ok();
}
