//! A private ministack, an emulator of AWS: a free port on 127.0.0.1, a temporary folder, killed at the end of the test.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::config;

/// Path of the program `ministack`; the step `cloud` installs it and sets this variable.
const VARIABLE: &str = "TASKSEAL_MINISTACK";

/// How long the emulator may take to start.
const START: Duration = Duration::from_secs(60);

/// A running emulator with clients to prepare it.
pub(super) struct Ministack {
    child: Child,
    pub(super) address: String,
    pub(super) runtime: Runtime,
    _folder: TempDir,
}

impl Ministack {
    /// Starts an emulator, or prints why the calling test is skipped.
    pub(super) fn start_or_skip() -> Option<Self> {
        let Some(program) = std::env::var_os(VARIABLE) else {
            eprintln!("skipped: {VARIABLE} is not set; `tests/run cloud` sets it");
            return None;
        };
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
        let address = format!("127.0.0.1:{port}");
        let server = Self { child, address, runtime: Runtime::new().unwrap(), _folder: folder };
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

    /// Returns the URI of a key by its id, ARN or alias.
    pub(super) fn uri(&self, key: &str) -> String {
        format!("awskms://{}/{key}", self.address)
    }

    /// Returns a client of KMS, to do what an operator does.
    pub(super) fn kms(&self) -> aws_sdk_kms::Client {
        let endpoint = format!("http://{}", self.address);
        aws_sdk_kms::Client::new(&config().into_builder().endpoint_url(endpoint).build())
    }

    /// Creates a key and returns its id and its ARN.
    pub(super) fn create_key(&self, spec: KeySpec, usage: KeyUsageType) -> (String, String) {
        let call = self.kms().create_key().key_spec(spec).key_usage(usage).send();
        let key = self.runtime.block_on(call).unwrap().key_metadata.unwrap();
        (key.key_id, key.arn.unwrap())
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
