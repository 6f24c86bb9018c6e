//! A Redis server of one's own: a private folder, a free port on 127.0.0.1, killed with the test.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running server.
pub(crate) struct RedisServer {
    _folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl RedisServer {
    /// Starts a server, or says on standard error why the calling test is skipped.
    pub(crate) fn start_or_skip() -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").output();
        if let Err(error) = version {
            eprintln!("skipped: redis-server: {error}");
            return None;
        }
        // Between finding a free port and listening on it somebody else may take it.
        (0..5).find_map(|_| Self::launch()).or_else(|| panic!("redis-server does not come up"))
    }

    fn launch() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { _folder: folder, port, child };
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && server.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
