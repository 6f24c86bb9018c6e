//! A server on 127.0.0.1 that answers like Vault. It was written from the public documentation of its HTTP API, not from the product:
//! it checks method, path, headers and body of each request, and answers with the documented forms, also of errors.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use taskseal_core::keys::SigningKey;

use self::request::{Answer, Request};
use crate::authority::Authority;
use crate::tls;

mod request;
mod routes;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultOutage {
    /// The connection is closed without an answer.
    Closed,
    /// Status 429: a rate limit quota is exceeded.
    Throttled,
    /// Status 429, with the longest delay that the header can require.
    ThrottledWithoutEnd,
    /// Status 503: the server is sealed.
    Sealed,
    /// No answer comes before the server ends.
    Silent,
    /// The answer is not JSON.
    Garbled,
    /// Status 307 to another server.
    Redirected,
}

/// A server that ends with its value.
#[derive(Debug)]
pub struct ContractVault {
    scheme: &'static str,
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ended: AtomicBool,
    end: Condvar,
}

#[derive(Debug, Default)]
struct State {
    namespace: Option<String>,
    /// Valid tokens.
    tokens: Vec<String>,
    /// Lifetime of tokens, in seconds; 0 for no end.
    lease: u64,
    /// Lifetime of tokens after a renewal, in seconds, if the maximum lifetime shortens it.
    lease_after_renewal: Option<u64>,
    issued: usize,
    app_role: Option<(String, String)>,
    service_account: Option<(String, String)>,
    /// Versions of secrets by path, the first one first.
    secrets: BTreeMap<String, Vec<Stored>>,
    keys: BTreeMap<String, TransitKey>,
    /// Stated length of HMAC keys, in bytes.
    hmac_key_size: u64,
    /// Signs instead of every version.
    other_signer: Option<SigningKey>,
    /// Whether the policy denies everything but logins.
    denies: bool,
    outages: VecDeque<VaultOutage>,
    requests: Vec<String>,
    violations: Vec<String>,
}

#[derive(Debug)]
struct Stored {
    fields: Value,
    deleted: bool,
    destroyed: bool,
}

#[derive(Debug)]
enum TransitKey {
    Signing(Vec<SigningKey>),
    Hmac(Vec<[u8; 32]>),
}

impl TransitKey {
    fn versions(&self) -> usize {
        match self {
            Self::Signing(keys) => keys.len(),
            Self::Hmac(keys) => keys.len(),
        }
    }
}

impl ContractVault {
    /// Starts a server without secrets. A token `root-token` is valid.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts a server with TLS and the certificate of `authority` for 127.0.0.1.
    ///
    /// # Panics
    /// If the certificate cannot be used.
    #[must_use]
    pub fn start_tls(authority: &Authority) -> Self {
        Self::start_with(Some(Arc::new(tls::settings(authority))))
    }

    fn start_with(tls: Option<Arc<ServerConfig>>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::<Shared>::default();
        let server = Self { scheme, address, shared: Arc::clone(&shared) };
        server.state().tokens.push("root-token".to_owned());
        server.state().hmac_key_size = 32;
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                let tls = tls.clone();
                thread::spawn(move || match tls {
                    None => shared.serve(&mut BufReader::new(stream)),
                    Some(settings) => {
                        if let Ok(connection) = ServerConnection::new(settings) {
                            shared.serve(&mut BufReader::new(StreamOwned::new(connection, stream)));
                        }
                    }
                });
            }
        });
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Address for `[vault]`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Accepts requests for this namespace only.
    pub fn in_namespace(&self, namespace: &str) {
        self.state().namespace = Some(namespace.to_owned());
    }

    /// Sets the lifetime of tokens, in seconds.
    pub fn lease(&self, seconds: u64) {
        self.state().lease = seconds;
    }

    /// Shortens the lifetime of tokens at their renewal: their maximum lifetime is near.
    pub fn lease_after_renewal(&self, seconds: u64) {
        self.state().lease_after_renewal = Some(seconds);
    }

    /// States this length of HMAC keys, in bytes.
    pub fn hmac_key_size(&self, bytes: u64) {
        self.state().hmac_key_size = bytes;
    }

    /// Accepts logins with this AppRole.
    pub fn app_role(&self, role_id: &str, secret_id: &str) {
        self.state().app_role = Some((role_id.to_owned(), secret_id.to_owned()));
    }

    /// Accepts logins of this service account of Kubernetes.
    pub fn service_account(&self, role: &str, jwt: &str) {
        self.state().service_account = Some((role.to_owned(), jwt.to_owned()));
    }

    /// Accepts another token and no earlier one.
    pub fn replace_token(&self, token: &str) {
        self.state().tokens = vec![token.to_owned()];
    }

    /// Denies everything but logins, or stops to do so.
    pub fn deny(&self, denies: bool) {
        self.state().denies = denies;
    }

    /// Stores the next version of a secret of the engine `secret`.
    pub fn put(&self, path: &str, fields: Value) {
        let stored = Stored { fields, deleted: false, destroyed: false };
        self.state().secrets.entry(path.to_owned()).or_default().push(stored);
    }

    /// Deletes or destroys the latest version of a secret.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&self, path: &str, destroy: bool) {
        let mut state = self.state();
        let latest =
            state.secrets.get_mut(path).and_then(|versions| versions.last_mut()).expect("it was stored");
        latest.deleted = true;
        latest.destroyed = destroy;
    }

    /// Adds a version to a signing key of the engine `transit`.
    ///
    /// # Panics
    /// If the key is of another type.
    pub fn add_signing_key(&self, name: &str, key: SigningKey) {
        let mut state = self.state();
        let entry = state.keys.entry(name.to_owned()).or_insert_with(|| TransitKey::Signing(Vec::new()));
        let TransitKey::Signing(keys) = entry else { panic!("{name} does not sign") };
        keys.push(key);
    }

    /// Deletes a key of the engine `transit`.
    pub fn delete_key(&self, name: &str) {
        self.state().keys.remove(name);
    }

    /// Signs with `key` instead of the version that a request names, or stops to do so.
    pub fn sign_with(&self, key: Option<SigningKey>) {
        self.state().other_signer = key;
    }

    /// Adds a version to an HMAC key of the engine `transit`.
    ///
    /// # Panics
    /// If the key is of another type.
    pub fn add_hmac_key(&self, name: &str, key: [u8; 32]) {
        let mut state = self.state();
        let entry = state.keys.entry(name.to_owned()).or_insert_with(|| TransitKey::Hmac(Vec::new()));
        let TransitKey::Hmac(keys) = entry else { panic!("{name} is not an HMAC key") };
        keys.push(key);
    }

    /// The next requests fail, each in one of these ways.
    pub fn fail(&self, outages: impl IntoIterator<Item = VaultOutage>) {
        self.state().outages.extend(outages);
    }

    /// Ends all outages.
    pub fn recover(&self) {
        self.state().outages.clear();
    }

    /// Requests so far, as method and path.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Number of requests so far whose method and path start so.
    #[must_use]
    pub fn count(&self, start: &str) -> usize {
        self.state().requests.iter().filter(|request| request.starts_with(start)).count()
    }

    /// What requests had that the documentation does not allow.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }
}

impl Drop for ContractVault {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.end.notify_all();
        // Ends the wait for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the requests of one connection.
    fn serve<S: Read + Write>(&self, stream: &mut BufReader<S>) {
        while let Some(request) = Request::read(stream) {
            let Some(answer) = self.answer(&request) else { return };
            if stream.get_mut().write_all(&answer.to_bytes()).is_err() || stream.get_mut().flush().is_err() {
                return;
            }
        }
    }

    /// Returns the answer to a request; `None` closes the connection.
    fn answer(&self, request: &Request) -> Option<Answer> {
        let mut state = self.state();
        state.requests.push(format!("{} {}", request.method, request.path));
        match state.outages.pop_front() {
            None => {}
            Some(VaultOutage::Closed) => return None,
            Some(VaultOutage::Throttled) => return Some(Answer::throttled(None)),
            Some(VaultOutage::ThrottledWithoutEnd) => return Some(Answer::throttled(Some(u64::MAX))),
            Some(VaultOutage::Sealed) => return Some(Answer::errors(503, &["Vault is sealed"])),
            Some(VaultOutage::Garbled) => {
                return Some(Answer::new(200, Value::from("root-token instead of an answer")));
            }
            Some(VaultOutage::Redirected) => return Some(Answer::new(307, Value::Null)),
            Some(VaultOutage::Silent) => {
                while !self.ended.load(Ordering::SeqCst) {
                    state = self.end.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                return None;
            }
        }
        Some(state.route(request))
    }
}
