//! The socket of a service manager, as sd_notify(3) describes it.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Receives what a worker tells its service manager.
pub(crate) struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl NotifySocket {
    pub(crate) fn bind(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { socket, path }
    }

    /// Returns the environment of the worker.
    pub(crate) fn environment(&self) -> [(&str, &Path); 1] {
        [("NOTIFY_SOCKET", &self.path)]
    }

    /// Waits for the next message.
    pub(crate) fn receive(&self) -> String {
        let mut buffer = [0; 64];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(buffer.get(..length).unwrap()).trim_end().to_owned()
    }
}
