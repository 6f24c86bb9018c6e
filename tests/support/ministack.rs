//! A private ministack, an emulator of AWS: a free port on 127.0.0.1, a temporary folder, killed at the end of the test.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Path of the program `ministack`; the step `cloud` installs it and sets this variable.
const VARIABLE: &str = "TASKSEAL_MINISTACK";

/// How long the emulator may take to start.
const START: Duration = Duration::from_secs(60);

/// A running emulator.
#[derive(Debug)]
pub struct Ministack {
    child: Child,
    address: String,
    _folder: TempDir,
}

/// Returns the path of the program, or prints why the calling test is skipped. The command line of AWS is in the same folder.
#[must_use]
pub fn program_or_skip() -> Option<PathBuf> {
    let program = std::env::var_os(VARIABLE);
    if program.is_none() {
        eprintln!("skipped: {VARIABLE} is not set; `tests/run cloud` sets it");
    }
    program.map(PathBuf::from)
}

impl Ministack {
    /// Starts an emulator, or prints why the calling test is skipped.
    #[must_use]
    pub fn start_or_skip() -> Option<Self> {
        let program = program_or_skip()?;
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(&program)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("SERVICES", "kms,secretsmanager")
            .env("MINISTACK_REGION", "eu-central-1")
            // Without them it listens for MQTT and SFTP too, on fixed ports of all addresses.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let server = Self { child, address: format!("127.0.0.1:{port}"), _folder: folder };
        server.wait();
        Some(server)
    }

    fn wait(&self) {
        let begin = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            assert!(begin.elapsed() < START, "ministack does not listen on {}", self.address);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
