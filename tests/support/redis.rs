//! A private Redis server: a temporary folder, a free port on 127.0.0.1, killed at the end of the test.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Connection};
use tempfile::TempDir;

/// Why no server can be started here; `None` if one can.
#[must_use]
pub fn unavailable() -> Option<String> {
    match Command::new(PROGRAM).arg("--version").output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("{PROGRAM} --version: {}", output.status)),
        Err(error) => Some(format!("{PROGRAM}: {error}")),
    }
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    args: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    ///
    /// # Panics
    /// If the server does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more arguments, such as `["--appendonly", "yes"]`.
    ///
    /// # Panics
    /// If the server does not come up.
    #[must_use]
    pub fn start_with(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        // Another process may take the port after it was found free.
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let mut server = Self { folder, port: free_port(), args: args.clone(), child: None };
            if server.try_launch() {
                return server;
            }
        }
        panic!("{PROGRAM} does not come up with {args:?}");
    }

    /// Starts a server, or prints why the calling test is skipped.
    #[must_use]
    pub fn start_or_skip() -> Option<Self> {
        match unavailable() {
            None => Some(Self::start()),
            Some(reason) => {
                eprintln!("skipped: {reason}");
                None
            }
        }
    }

    /// URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The Unix socket the server listens on as well.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// A connection without the broker.
    ///
    /// # Panics
    /// If the server cannot be reached.
    #[must_use]
    pub fn raw(&self) -> Connection {
        self.try_raw().expect("the server answers")
    }

    /// Process id of the server.
    ///
    /// # Panics
    /// If the server was stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Shuts the server down; it saves what it is configured to save.
    ///
    /// # Panics
    /// If the process does not end.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(child.id(), "TERM");
            let _ = child.wait().expect("a child can be waited for");
        }
    }

    /// Kills the server.
    ///
    /// # Panics
    /// If the process cannot be killed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child can be killed");
            let _ = child.wait().expect("a child can be waited for");
        }
    }

    /// Starts the server again on the same port, with what it kept.
    ///
    /// # Panics
    /// If the server does not come up.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        while !self.try_launch() {
            assert!(Instant::now() < deadline, "{PROGRAM} does not come up again");
        }
    }

    /// Stops the server from answering, its connections staying open, until [`thaw`](Self::thaw).
    ///
    /// # Panics
    /// If the server was stopped.
    pub fn freeze(&self) {
        signal(self.pid(), "STOP");
    }

    /// Ends a [`freeze`](Self::freeze).
    ///
    /// # Panics
    /// If the server was stopped.
    pub fn thaw(&self) {
        signal(self.pid(), "CONT");
    }

    fn try_raw(&self) -> Result<Connection, redis::RedisError> {
        Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(2))
    }

    fn try_launch(&mut self) -> bool {
        let log = fs::File::create(self.folder.path().join("log")).expect("a log can be made");
        let mut command = Command::new(PROGRAM);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(self.folder.path())
            .arg("--unixsocket")
            .arg(self.socket())
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the server can be started");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ready = self.try_raw().and_then(|mut raw| redis::cmd("PING").query::<String>(&mut raw));
            let needs_password = ready.as_ref().is_err_and(|error| error.to_string().contains("NOAUTH"));
            let gone = child.try_wait().expect("a child can be asked").is_some();
            if gone {
                return false;
            }
            if ready.is_ok() || needs_password {
                self.child = Some(child);
                return true;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}

const PROGRAM: &str = "redis-server";
const PATIENCE: Duration = Duration::from_secs(10);
