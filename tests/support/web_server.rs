//! A web server that delivers one file, and fails as a test requires.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The tag of every answer, as of a server that confuses its files.
const TAG: &str = "\"1\"";

/// What goes wrong with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebFault {
    /// This status, without a body.
    Status(u16),
    /// A web page with status 200.
    Page,
    /// The connection is closed within the body.
    CutOff,
    /// The connection is closed without an answer.
    Closed,
    /// No answer comes before the client gives up.
    Silent,
}

/// A server on 127.0.0.1 that ends with its value.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Vec<u8>>,
    fault: Option<WebFault>,
    stores: bool,
    requests: Vec<String>,
}

impl WebServer {
    /// Starts a server that has no file yet. `stores` accepts PUT.
    #[must_use]
    pub fn start(stores: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        shared.state.lock().unwrap().stores = stores;
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.ended.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                // A client can give up before the answer: the server continues.
                thread::spawn(move || shared.answer(stream.ok()?));
            }
        });
        Self { address, shared }
    }

    /// Returns the URL of its file.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/keyset.cose", self.address)
    }

    /// Replaces the file.
    pub fn put(&self, file: &[u8]) {
        self.shared.state.lock().unwrap().file = Some(file.to_owned());
    }

    /// Has every request fail, or none.
    pub fn fail(&self, fault: Option<WebFault>) {
        self.shared.state.lock().unwrap().fault = fault;
    }

    /// Returns the requests so far: method and status.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().requests.clone()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut source = BufReader::new(stream.try_clone().ok()?);
        let (method, tag, length) = head(&mut source)?;
        let mut body = Vec::new();
        source.by_ref().take(length).read_to_end(&mut body).ok()?;
        let fault = self.state.lock().unwrap().fault;
        if fault == Some(WebFault::Silent) {
            // Ends when the client closes the connection.
            source.read_to_end(&mut body).ok()?;
        }
        stream.write_all(&self.respond(&method, tag.as_deref(), body, fault)?).ok()
    }

    fn respond(
        &self,
        method: &str,
        tag: Option<&str>,
        body: Vec<u8>,
        fault: Option<WebFault>,
    ) -> Option<Vec<u8>> {
        let state = &mut *self.state.lock().unwrap();
        let (status, kind, content) = match (fault, method) {
            (Some(WebFault::Closed | WebFault::Silent), _) => return None,
            (Some(WebFault::Status(status)), _) => (status, "text/plain", Vec::new()),
            (Some(WebFault::Page), _) => (200, "text/html; charset=utf-8", b"<html></html>".to_vec()),
            (_, "PUT") if state.stores => {
                state.file = Some(body);
                (204, "text/plain", Vec::new())
            }
            (_, "PUT") => (405, "text/plain", Vec::new()),
            _ => match &state.file {
                None => (404, "text/plain", Vec::new()),
                Some(_) if tag == Some(TAG) => (304, "text/plain", Vec::new()),
                Some(file) => (200, "application/octet-stream", file.clone()),
            },
        };
        state.requests.push(format!("{method} {status}"));
        let mut answer = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Type: {kind}\r\n");
        answer.push_str(&format!("ETag: {TAG}\r\n"));
        if !matches!(status, 204 | 304) {
            answer.push_str(&format!("Content-Length: {}\r\n", content.len()));
        }
        let half = if fault == Some(WebFault::CutOff) { content.len() / 2 } else { content.len() };
        let mut answer = format!("{answer}\r\n").into_bytes();
        answer.extend(content.into_iter().take(half));
        Some(answer)
    }
}

/// Reads the head of a request: method, `If-None-Match`, and the length of the body.
fn head(source: &mut impl BufRead) -> Option<(String, Option<String>, u64)> {
    let mut lines = source.lines().map_while(Result::ok);
    let method = lines.next()?.split(' ').next()?.to_owned();
    let (mut tag, mut length) = (None, 0);
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "if-none-match" => tag = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    Some((method, tag, length))
}
