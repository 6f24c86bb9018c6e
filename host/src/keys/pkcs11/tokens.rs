//! The open tokens of this process.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use taskseal_hsm::{Error, Health, LoginRule, PinSource, Settings, Token, TokenEvent, TokenUri};

use super::environment::with_environment;
use crate::file_watch;

/// A token that is open.
struct RegisteredToken {
    uri: TokenUri,
    token: Token,
    /// Whether the source of its PIN came from the environment.
    environment_pin: bool,
}

/// Tokens stay open until [`close`]: each login with a wrong PIN costs an attempt.
static TOKENS: Mutex<Vec<RegisteredToken>> = Mutex::new(Vec::new());

type Observer = Arc<dyn Fn(&str, &TokenEvent) + Send + Sync>;

static OBSERVER: OnceLock<Observer> = OnceLock::new();

fn tokens() -> MutexGuard<'static, Vec<RegisteredToken>> {
    TOKENS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `observer` with the name of a token when the token fails, recovers or is given up.
///
/// Returns whether the observer was set: a process has one, and the first one stays. It is called on the thread that
/// recovers the token and must not block.
pub fn observe(observer: impl Fn(&str, &TokenEvent) + Send + Sync + 'static) -> bool {
    OBSERVER.set(Arc::new(observer)).is_ok()
}

static LOGIN_RULE: OnceLock<LoginRule> = OnceLock::new();

/// Sets when this process sends PINs to the tokens that it opens from now on.
///
/// Returns whether the rule was set: a process has one, and the first one stays.
pub fn set_login_rule(rule: LoginRule) -> bool {
    LOGIN_RULE.set(rule).is_ok()
}

/// Opens the token that a URI names, or returns it if it is open. Equal URIs share one login.
///
/// # Errors
/// [`Error`].
pub fn open(uri: &TokenUri) -> Result<Token, Error> {
    let own_pin_source = uri.pin_source().is_some();
    let uri = with_environment(uri)?;
    watch_pin(uri.pin_source());
    // Held during the opening: two callers must not log in at once.
    let mut tokens = tokens();
    if let Some(known) = tokens.iter().find(|known| known.uri == uri) {
        let token = known.token.clone();
        drop(tokens);
        // Keys are loaded again when the file of the PIN has changed.
        token.retry_with_changed_pin();
        return Ok(token);
    }
    let name = uri.name().to_string();
    let environment_pin = !own_pin_source && uri.pin_source().is_some();
    let is_other = |known: &RegisteredToken| known.environment_pin && known.uri.name().to_string() != name;
    if environment_pin && tokens.iter().any(is_other) {
        // One of the two tokens would count a wrong PIN, at every start.
        return Err(Error::Config(
            "TASKSEAL_PKCS11_PIN_SOURCE is for one token: add `pin-source` to the URIs",
        ));
    }
    let rule = LOGIN_RULE.get().copied().unwrap_or_default();
    let settings = Settings::new().login_rule(rule).observer(move |event| {
        if let Some(observer) = OBSERVER.get() {
            observer(&name, event);
        }
    });
    let token = Token::open(&uri, settings)?;
    tokens.push(RegisteredToken { uri, token: token.clone(), environment_pin });
    Ok(token)
}

/// Records the file of a PIN among those that keys are read from, so that a corrected PIN takes effect.
fn watch_pin(source: Option<&PinSource>) {
    match source {
        Some(PinSource::File(path)) => file_watch::record(path, None),
        Some(PinSource::Credential(name)) => {
            if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") {
                file_watch::record(&Path::new(&folder).join(name), None);
            }
        }
        _ => {}
    }
}

/// Closes every token whose keys are no longer in use.
///
/// Call it before the process ends, after dropping clients, workers and keyrings: a library whose thread is stopped during a
/// call may crash the process.
pub fn close() {
    let open = std::mem::take(&mut *tokens());
    drop(open);
}

/// Returns the name and the health of every open token.
#[must_use]
pub fn health() -> Vec<(String, Health)> {
    tokens().iter().map(|open| (open.uri.name().to_string(), open.token.health())).collect()
}
