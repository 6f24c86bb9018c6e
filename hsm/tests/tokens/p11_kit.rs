//! A token behind another process, as with a smart card daemon: p11-kit's server in front of SoftHSM.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use taskseal_hsm::{EcKey, KeySelector, Settings, Token, TokenState, Usage, softhsm};

use crate::support::{Fixture, LABEL, SOCKET, did_not_run, eventually, on_softhsm, sign, wait_for};

const CLIENTS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib64/pkcs11/p11-kit-client.so",
    "/usr/lib/pkcs11/p11-kit-client.so",
];

/// A server that is stopped on drop.
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

    /// Kills the processes that serve connections, and keeps the server.
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
        assert!(killed > 0, "no process serves a connection");
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
    // A zombie no longer serves connections.
    if status.lines().any(|line| line.starts_with("State:\tZ")) {
        return None;
    }
    status.lines().find_map(|line| line.strip_prefix("PPid:\t")?.parse().ok())
}

fn a_killed_connection_is_established_again(fixture: &Fixture) {
    if fixture.role().is_some() {
        let token = fixture.open(Settings::new());
        EcKey::generate(&token, Usage::Sign, "orders").unwrap();
        return;
    }
    let Some(client) = CLIENTS.iter().map(PathBuf::from).find(|path| path.exists()) else {
        return did_not_run("a_killed_connection_is_established_again", "p11-kit is not installed");
    };
    // In another process, because the library would be loaded twice in this one.
    fixture.run_child("create the token and the key");
    let server = Server::start(fixture);
    let token = Token::open(&fixture.uri().with_module_path(&client), Settings::new()).unwrap();
    let key = EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign).unwrap();
    sign(&key, "before").unwrap();

    for round in 1..=5 {
        server.kill_connections();
        assert!(sign(&key, "lost").is_err_and(|error| error.is_transient()));
        eventually(|| sign(&key, "back"));
        let health = token.health();
        assert_eq!((health.library_recoveries, health.state), (round, TokenState::Up), "{health:?}");
    }
}

fn a_server_that_was_stopped_is_used_again(fixture: &Fixture) {
    if fixture.role().is_some() {
        let token = fixture.open(Settings::new());
        EcKey::generate(&token, Usage::Sign, "orders").unwrap();
        return;
    }
    let Some(client) = CLIENTS.iter().map(PathBuf::from).find(|path| path.exists()) else {
        return did_not_run("a_server_that_was_stopped_is_used_again", "p11-kit is not installed");
    };
    fixture.run_child("create the token and the key");
    let server = Server::start(fixture);
    let token = Token::open(&fixture.uri().with_module_path(&client), Settings::new()).unwrap();
    let key = EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign).unwrap();

    server.kill_connections();
    drop(server);
    fs::remove_file(fixture.folder.join(SOCKET)).unwrap();
    wait_for("the loss is detected", || sign(&key, "lost").is_err());
    wait_for("several attempts were made", || token.health().library_recoveries >= 3);
    assert_eq!(token.health().state, TokenState::Down);
    let _server = Server::start(fixture);
    eventually(|| sign(&key, "back"));
}

on_softhsm! {
    a_killed_connection_is_established_again,
    a_server_that_was_stopped_is_used_again,
}
