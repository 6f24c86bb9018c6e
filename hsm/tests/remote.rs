//! A token behind another process, as with a smart card daemon: p11-kit's server in front of SoftHSM, killed at will.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use support::{Fixture, Kind, LABEL, SOCKET, eventually, sign, wait_for};
use taskseal_hsm::{EcKey, KeySelector, Settings, State, Token, Usage, softhsm};

const CLIENTS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib64/pkcs11/p11-kit-client.so",
    "/usr/lib/pkcs11/p11-kit-client.so",
];

/// Ended with the test, whatever happens.
struct Server(Child);

impl Server {
    fn start(fixture: &Fixture) -> Self {
        let socket = fixture.folder.join(SOCKET);
        let mut command = Command::new("p11-kit");
        command
            .args(["server", "-f", "-n"])
            .arg(&socket)
            .arg("--provider")
            .arg(softhsm::find_library().unwrap());
        command.arg(format!("pkcs11:token={LABEL}"));
        let server = Self(command.spawn().unwrap());
        wait_for("the server listens", || socket.exists());
        server
    }

    /// Kills what serves the connections; the server itself stays.
    fn kill_connections(&self) {
        let mut killed = 0;
        for entry in fs::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else {
                continue;
            };
            if parent(&path) == Some(self.0.id()) {
                assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
                killed += 1;
            }
        }
        assert!(killed > 0, "nobody serves a connection");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn parent(process: &Path) -> Option<u32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    // A killed one that nobody has waited for is no longer there.
    if status.lines().any(|line| line.starts_with("State:\tZ")) {
        return None;
    }
    status.lines().find_map(|line| line.strip_prefix("PPid:\t")?.parse().ok())
}

fn a_killed_connection_is_made_again(fixture: &Fixture) {
    if fixture.role().is_some() {
        let token = fixture.open(Settings::new());
        EcKey::generate(&token, Usage::Sign, "orders").unwrap();
        return;
    }
    let Some(client) = CLIENTS.iter().map(PathBuf::from).find(|path| path.exists()) else {
        return support::did_not_run("a_killed_connection_is_made_again", "p11-kit is not installed");
    };
    // Not here: the library would be loaded twice in one process.
    fixture.elsewhere("make the token and the key");
    let server = Server::start(fixture);
    let token = Token::open(&fixture.uri().with_module_path(&client), Settings::new()).unwrap();
    let key = EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign).unwrap();
    sign(&key, "before").unwrap();

    for round in 1..=5 {
        server.kill_connections();
        assert!(sign(&key, "lost").is_err_and(|error| error.is_transient()));
        eventually(|| sign(&key, "back"));
        let health = token.health();
        assert_eq!((health.library_recoveries, health.state), (round, State::Up), "{health:?}");
    }
}

fn a_server_that_is_gone_for_a_while_is_waited_for(fixture: &Fixture) {
    if fixture.role().is_some() {
        let token = fixture.open(Settings::new());
        EcKey::generate(&token, Usage::Sign, "orders").unwrap();
        return;
    }
    let Some(client) = CLIENTS.iter().map(PathBuf::from).find(|path| path.exists()) else {
        return support::did_not_run(
            "a_server_that_is_gone_for_a_while_is_waited_for",
            "p11-kit is not installed",
        );
    };
    fixture.elsewhere("make the token and the key");
    let server = Server::start(fixture);
    let token = Token::open(&fixture.uri().with_module_path(&client), Settings::new()).unwrap();
    let key = EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign).unwrap();

    server.kill_connections();
    drop(server);
    fs::remove_file(fixture.folder.join(SOCKET)).unwrap();
    wait_for("it is missed", || sign(&key, "lost").is_err());
    wait_for("it is tried several times", || token.health().library_recoveries >= 3);
    assert_eq!(token.health().state, State::Down);
    let _server = Server::start(fixture);
    eventually(|| sign(&key, "back"));
}

#[test]
fn p11_kit_a_killed_connection_is_made_again() {
    support::on(
        Kind::SoftHsm,
        "p11_kit_a_killed_connection_is_made_again",
        a_killed_connection_is_made_again,
    );
}

#[test]
fn p11_kit_a_server_that_is_gone_for_a_while_is_waited_for() {
    support::on(
        Kind::SoftHsm,
        "p11_kit_a_server_that_is_gone_for_a_while_is_waited_for",
        a_server_that_is_gone_for_a_while_is_waited_for,
    );
}
