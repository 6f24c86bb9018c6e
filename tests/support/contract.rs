//! An HTTP/1.1 server on a free port of 127.0.0.1 whose replies a test chooses. It records the requests.
//!
//! As a proxy (RFC 9110 section 9.3.6) it answers under the names of the real services, with certificates of a private authority, so that a
//! program uses the URLs and the TLS that it uses in production.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::tls;

pub mod keys;

/// A request that was received completely.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method in upper case.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, as it was sent.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns a header by its name in lower case; empty if it was not sent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns the body, which must be JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers with a status, a header and a body.
    Answer(u16, Option<(&'static str, String)>, String),
    /// Sends nothing, and keeps the connection open until the client closes it.
    Silence,
    /// Closes the connection without an answer.
    HangUp,
}

impl Reply {
    /// Creates an answer in JSON.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Answer(status, None, body.to_string())
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

struct State {
    handler: Box<Handler>,
    /// Replies to the next requests, in place of those of the handler.
    next: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
    stopped: AtomicBool,
    /// The certificates of the services that a proxy answers for.
    certificates: Option<Arc<ServerConfig>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("requests", &self.requests).finish_non_exhaustive()
    }
}

/// A running server, stopped when dropped.
#[derive(Debug)]
pub struct Contract {
    address: SocketAddr,
    state: Arc<State>,
    listener: Option<JoinHandle<()>>,
}

impl Contract {
    /// Starts a server whose replies are those of `handler`, unless a test sets others.
    #[must_use]
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, handler)
    }

    /// Starts a server that is also a proxy: to the hosts of the certificate `server.crt` of `authority`, which it answers for.
    #[must_use]
    pub fn start_proxy(
        authority: &Authority,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(Some(Arc::new(tls::settings(authority))), handler)
    }

    fn start_with(
        certificates: Option<Arc<ServerConfig>>,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let state = Arc::new(State {
            handler: Box::new(handler),
            next: Mutex::default(),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
            certificates,
        });
        let shared = Arc::clone(&state);
        let accept = move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || stream.map(|stream| serve(BufReader::new(stream), &shared)));
            }
        };
        Self { address, state, listener: Some(thread::spawn(accept)) }
    }

    /// Returns `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets the replies to the next requests.
    pub fn reply_next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.next.lock().unwrap().extend(replies);
    }

    /// Forgets the replies that were set.
    pub fn clear(&self) {
        self.state.next.lock().unwrap().clear();
    }

    /// Returns the requests so far, and forgets them.
    #[allow(clippy::must_use_candidate, reason = "it forgets the requests")]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }
}

impl Drop for Contract {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
        if let Some(listener) = self.listener.take() {
            listener.join().expect("the listener does not panic");
        }
    }
}

/// Serves the requests of one connection.
fn serve<S: Read + Write>(mut stream: BufReader<S>, state: &State) {
    while let Some(request) = read_request(&mut stream) {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        if request.method == "CONNECT" {
            return serve_tunnel(stream, state);
        }
        let chosen = state.next.lock().unwrap().pop_front();
        let reply = chosen.unwrap_or_else(|| checked(&request, &*state.handler));
        state.requests.lock().unwrap().push(request);
        match reply {
            Reply::HangUp => return,
            Reply::Silence => {
                let _ = stream.read(&mut [0]);
                return;
            }
            Reply::Answer(status, header, body) => {
                let header = header.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
                let head = format!(
                    "HTTP/1.1 {status} Reply\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{header}\r\n",
                    body.len()
                );
                let reply = [head.as_bytes(), body.as_bytes()].concat();
                if stream.get_mut().write_all(&reply).and_then(|()| stream.get_mut().flush()).is_err() {
                    return;
                }
            }
        }
    }
}

/// Serves what a client sends through a proxy, as the host that it names.
fn serve_tunnel<S: Read + Write>(mut stream: BufReader<S>, state: &State) {
    let Some(certificates) = state.certificates.clone() else { return };
    let reply = b"HTTP/1.1 200 Connected\r\n\r\n";
    if stream.get_mut().write_all(reply).and_then(|()| stream.get_mut().flush()).is_err() {
        return;
    }
    if let Ok(connection) = ServerConnection::new(certificates) {
        let tls: Box<dyn Tunnel + '_> = Box::new(StreamOwned::new(connection, stream.into_inner()));
        serve(BufReader::new(tls), state);
    }
}

/// A connection, also in another one: a trait object, because a function that is generic over it calls itself.
trait Tunnel: Read + Write {}

impl<S: Read + Write> Tunnel for S {}

/// Calls the handler. A request that it does not expect is refused with the message of its assertion, so that the test fails
/// with it and not at a deadline.
fn checked(request: &Request, handler: &Handler) -> Reply {
    catch_unwind(AssertUnwindSafe(|| handler(request))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        Reply::json(400, &json!({ "__type": "UnexpectedRequest", "message": message }))
    })
}

/// Returns the next request; `None` at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}
