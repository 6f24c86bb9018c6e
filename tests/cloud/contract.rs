//! An HTTP/1.1 server on a free port of 127.0.0.1 whose replies a test chooses. It records the requests.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

pub(crate) mod keys;

/// A request that was received completely.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path with the query.
    pub(crate) path: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with a status, a header and a body.
    Answer(u16, Option<(&'static str, String)>, String),
    /// Sends nothing, and keeps the connection open until the client closes it.
    Silence,
    /// Closes the connection without an answer.
    HangUp,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
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
}

/// A running server, stopped when dropped.
pub(crate) struct Contract {
    address: SocketAddr,
    state: Arc<State>,
    listener: Option<JoinHandle<()>>,
}

impl Contract {
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let state = Arc::new(State {
            handler: Box::new(handler),
            next: Mutex::default(),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let accept = move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || stream.map(|stream| serve(stream, &shared)));
            }
        };
        Self { address, state, listener: Some(thread::spawn(accept)) }
    }

    /// Returns `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets the replies to the next requests.
    pub(crate) fn reply_next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.next.lock().unwrap().extend(replies);
    }

    /// Forgets the replies that were set.
    pub(crate) fn clear(&self) {
        self.state.next.lock().unwrap().clear();
    }

    /// Returns the requests so far, and forgets them.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
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
fn serve(stream: TcpStream, state: &State) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader) {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        let chosen = state.next.lock().unwrap().pop_front();
        let reply = chosen.unwrap_or_else(|| checked(&request, &*state.handler));
        state.requests.lock().unwrap().push(request);
        match reply {
            Reply::HangUp => return,
            Reply::Silence => {
                let _ = reader.read(&mut [0]);
                return;
            }
            Reply::Answer(status, header, body) => {
                let header = header.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Reply\r\ncontent-length: {length}\r\n{header}\r\n");
                if writer.write_all(&[head.as_bytes(), body.as_bytes()].concat()).is_err() {
                    return;
                }
            }
        }
    }
}

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
