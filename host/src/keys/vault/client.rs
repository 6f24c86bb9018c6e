//! Calls to Vault with a token: login, renewal, a second login after a refusal, and retries within a deadline.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::fault::VaultFault;
use super::http::{Connections, ErasedBody, Reply};
use super::login;
use super::session::{Due, Session};
use super::settings::VaultSettings;
use crate::escape::Escaped;
use crate::file_watch;
use crate::lock::lock;
use crate::retry::Backoff;

/// A client of one server. Many threads may use it.
pub(super) struct Client {
    settings: VaultSettings,
    /// Until the server is unreachable: the file of its authority may have been replaced then.
    connections: Mutex<Option<Arc<Connections>>>,
    session: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Session>,
    /// When a new token was refused like the one before: then the policy forbids the call, and logins are useless.
    useless_login: Option<Instant>,
}

/// Maximum number of attempts of one request.
const MAX_ATTEMPTS: u32 = 4;

/// Delays between them, if the server gives none.
const DELAYS: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// How long no login follows a refusal after a login that did not help.
const LOGIN_PAUSE: Duration = Duration::from_secs(10);

impl Client {
    pub(super) fn new(settings: VaultSettings) -> Self {
        Self { settings, connections: Mutex::default(), session: Mutex::default() }
    }

    /// Sends a request with a token. Returns the reply if it is not an error, or says that there is no such path.
    pub(super) fn call(&self, path: &str, body: Option<&dyn ErasedBody>) -> Result<Reply, VaultFault> {
        let deadline = Instant::now() + self.settings.timeout;
        let token = self.token(deadline)?;
        let reply = self.send(path, Some(&token), body, deadline)?;
        if reply.status != 403 || !self.forget(&token) {
            return checked(path, reply);
        }
        let token = self.token(deadline)?;
        let reply = self.send(path, Some(&token), body, deadline)?;
        lock(&self.session).useless_login = (reply.status == 403).then(Instant::now);
        checked(path, reply)
    }

    /// Sends a request without a token of this client, for a login.
    pub(super) fn call_with(
        &self,
        path: &str,
        token: Option<&str>,
        body: Option<&dyn ErasedBody>,
        deadline: Instant,
    ) -> Result<Reply, VaultFault> {
        let reply = self.send(path, token, body, deadline)?;
        // What a login with a wrong secret id is answered with; by versions from 1.13 to 1.14.0 as an internal error.
        let is_refused = reply.status == 400
            || (reply.status == 500 && refusal(path, &reply).ends_with(": invalid secret id"));
        if is_refused {
            return Err(VaultFault::CredentialsRefused(refusal(path, &reply)));
        }
        checked(path, reply)
    }

    pub(super) const fn settings(&self) -> &VaultSettings {
        &self.settings
    }

    /// Returns the token of this client, renewed or issued if that is due.
    fn token(&self, deadline: Instant) -> Result<Zeroizing<String>, VaultFault> {
        // Held during a login: other threads wait for its token.
        let mut state = lock(&self.session);
        let now = Instant::now();
        let mut due = state.session.as_ref().map_or(Due::Login, |session| session.due(now));
        if due == Due::Renewal
            && let Some(session) = state.session.as_mut().filter(|session| session.renewable)
            && login::renew(self, session, deadline).is_ok()
        {
            due = Due::Nothing;
        }
        if due != Due::Nothing {
            match (login::login(self, deadline), state.session.as_mut()) {
                (Ok(session), _) => state.session = Some(session),
                // The token is valid until its end.
                (Err(_), Some(session)) if due == Due::Renewal => session.postpone(now),
                (Err(fault), _) => return Err(fault),
            }
        }
        let session = state.session.as_ref();
        let session = session.ok_or_else(|| VaultFault::Unavailable("no token".to_owned()))?;
        // Keys that are loaded again renew the token, also if they are not used meanwhile.
        if let Some(remaining) = session.until_renewal(Instant::now()) {
            file_watch::record_fetch_again(remaining);
        }
        Ok(session.token.clone())
    }

    /// Forgets a token that was refused. Returns false if another login is known to be useless.
    fn forget(&self, refused: &Zeroizing<String>) -> bool {
        let mut state = lock(&self.session);
        if state.useless_login.is_some_and(|at| at.elapsed() < LOGIN_PAUSE) {
            return false;
        }
        // Another thread may have logged in meanwhile.
        if state.session.as_ref().is_some_and(|session| *session.token == **refused) {
            state.session = None;
        }
        true
    }

    /// Sends a request until it is answered with something else than throttling or an outage.
    fn send(
        &self,
        path: &str,
        token: Option<&str>,
        body: Option<&dyn ErasedBody>,
        deadline: Instant,
    ) -> Result<Reply, VaultFault> {
        let connections = self.connections()?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let result = connections.call(path, token, body, deadline);
            let retry_after = match &result {
                Ok(reply) if matches!(reply.status, 429 | 502 | 503 | 504) => reply.retry_after,
                Err(VaultFault::Unavailable(_)) => None,
                _ => return result,
            };
            let delay = retry_after.unwrap_or_else(|| DELAYS.delay(attempt));
            if attempt == MAX_ATTEMPTS || delay >= deadline.saturating_duration_since(Instant::now()) {
                if result.is_err() {
                    lock(&self.connections).take();
                }
                return result;
            }
            thread::sleep(delay);
        }
    }

    fn connections(&self) -> Result<Arc<Connections>, VaultFault> {
        if let Some(file) = &self.settings.ca_file {
            // Keys are loaded again when it changes.
            file_watch::record(file, None);
        }
        let mut connections = lock(&self.connections);
        if let Some(connections) = &*connections {
            return Ok(Arc::clone(connections));
        }
        let new = Arc::new(Connections::new(&self.settings)?);
        *connections = Some(Arc::clone(&new));
        Ok(new)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.settings.address).finish_non_exhaustive()
    }
}

/// Returns a reply that is not an error.
fn checked(path: &str, reply: Reply) -> Result<Reply, VaultFault> {
    let message = || refusal(path, &reply);
    Err(match reply.status {
        200..=299 => return Ok(reply),
        // Deleted versions of the KV engine are described in the body.
        404 => return Ok(reply),
        401 | 403 => VaultFault::CredentialsRefused(message()),
        412 | 429 | 472 | 473 | 500..=599 => VaultFault::Unavailable(message()),
        300..=399 => VaultFault::Invalid(format!(
            "{path}: the server redirects: name the active node or its load balancer"
        )),
        _ => VaultFault::Invalid(message()),
    })
}

/// What the server says is wrong: `{"errors":["…"]}`.
#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

/// Maximum length of the text of an error that is shown, in characters.
const MAX_TEXT: usize = 300;

/// Describes an error reply.
pub(super) fn refusal(path: &str, reply: &Reply) -> String {
    let errors: Errors = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text: String = errors.errors.join("; ").chars().take(MAX_TEXT).collect();
    match text.as_str() {
        "" => format!("{path}: status {}", reply.status),
        text => format!("{path}: status {}: {}", reply.status, Escaped::new(text)),
    }
}
