//! PKCS#11 tokens of this process: each opened once, logged in once, and shared by all keys in it.

mod metrics;

use std::ffi::OsString;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use taskseal_hsm::{Error, Health, PinError, PinSource, Settings, Token, TokenEvent, TokenUri};

pub use self::metrics::metrics;

/// Names the PKCS#11 library of URIs without a `module-path`.
pub const MODULE_VARIABLE: &str = "TASKSEAL_PKCS11_MODULE";

/// Names the place of the PIN for URIs without a `pin-source`, in the same words: `file:PATH`, `env:NAME`, `fd:N`,
/// `cred:NAME`.
pub const PIN_SOURCE_VARIABLE: &str = "TASKSEAL_PKCS11_PIN_SOURCE";

/// A token that is open, and what it is called in logs and metrics.
struct Open {
    uri: TokenUri,
    token: Token,
    /// Where its PIN is was said by the environment.
    of_environment: bool,
}

/// Tokens stay open until [`close`]: a wrong PIN costs an attempt, so it is not given twice without need.
static OPEN: Mutex<Vec<Open>> = Mutex::new(Vec::new());

type Observer = Arc<dyn Fn(&str, &TokenEvent) + Send + Sync>;

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Tells `observer` of the tokens that are opened from now on: the name of one, and that it is down, up again or given up.
/// It is called on the thread that recovers the token and must not block. Answers whether it is the first: there is one a
/// process.
pub fn observe(observer: impl Fn(&str, &TokenEvent) + Send + Sync + 'static) -> bool {
    OBSERVER.set(Arc::new(observer)).is_ok()
}

/// The token that a URI names. All URIs that name it with the same words share one login.
///
/// # Errors
/// [`Error`].
pub fn open(uri: &TokenUri) -> Result<Token, Error> {
    let own = uri;
    let uri = with_environment(uri)?;
    // Held while one is opened: two callers must not log in at once.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = open.iter().find(|known| known.uri == uri) {
        return Ok(known.token.clone());
    }
    let name = uri.name().to_string();
    let of_environment = own.pin_source().is_none() && uri.pin_source().is_some();
    if of_environment && open.iter().any(|known| known.of_environment && known.uri.name().to_string() != name)
    {
        // One of the two would count it as a wrong one, at every start.
        return Err(Error::Config(
            "TASKSEAL_PKCS11_PIN_SOURCE is for one token: add `pin-source` to the uris",
        ));
    }
    let settings = Settings::new().observer(move |event| {
        if let Some(observer) = OBSERVER.get() {
            observer(&name, event);
        }
    });
    let token = Token::open(&uri, settings)?;
    open.push(Open { uri, token: token.clone(), of_environment });
    Ok(token)
}

/// Closes every token that no key is used of any more. To be called before the process ends, with clients, workers and
/// keyrings dropped: a library whose thread is cut off in the middle of a call may bring the process down.
pub fn close() {
    let open = std::mem::take(&mut *OPEN.lock().unwrap_or_else(PoisonError::into_inner));
    drop(open);
}

/// The URI with the library and the place of the PIN that it means: its own, else those of the environment.
///
/// # Errors
/// [`Error::Config`] if neither it nor the environment names a library, or if what the environment has is no place of a PIN.
pub fn with_environment(uri: &TokenUri) -> Result<TokenUri, Error> {
    let mut uri = uri.clone();
    if uri.module_path().is_none() {
        let path = variable(MODULE_VARIABLE)
            .ok_or(Error::Config("no pkcs#11 library: name it by module-path or TASKSEAL_PKCS11_MODULE"))?;
        uri = uri.with_module_path(path);
    }
    if uri.pin_source().is_none()
        && let Some(source) = variable(PIN_SOURCE_VARIABLE)
    {
        let source = source.to_str().and_then(|source| source.parse::<PinSource>().ok());
        uri = uri.with_pin_source(
            source.ok_or(Error::Config("TASKSEAL_PKCS11_PIN_SOURCE is none of file:, env:, fd:, cred:"))?,
        );
    }
    Ok(uri)
}

/// A variable of the environment; one that is empty counts as not set.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Every token that is open: its name, and how it is.
#[must_use]
pub fn health() -> Vec<(String, Health)> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.iter().map(|open| (open.uri.name().to_string(), open.token.health())).collect()
}

/// What to do about an error of a token.
#[must_use]
pub const fn hint(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NoSuchToken => "`taskseal token ls` shows the tokens of a library",
        Error::NoSuchKey => {
            "`taskseal token check URI` shows the keys of a token; `taskseal keygen --pkcs11` makes one"
        }
        Error::Ambiguous { .. } => "name it by `serial`, or a key by `id`",
        Error::Pin(PinError::Unreadable) => {
            "the place that `pin-source` names must be there, and readable by this user"
        }
        Error::Pin(PinError::InsecurePermissions) => "`chmod 600` the file that `pin-source` names",
        Error::Pin(PinError::NoSource) => {
            "add `pin-source=file:PATH`, `env:NAME`, `fd:N` or `cred:NAME` to the uri, or set TASKSEAL_PKCS11_PIN_SOURCE"
        }
        Error::AuthFailed { .. } | Error::LockedOut => {
            "correct the pin, then start again: it is never tried twice"
        }
        Error::LoginFailed(_) => {
            "look at the token and at the pin, then start again: more attempts might lock the token"
        }
        Error::FinalTry | Error::PinLocked => "the security officer of the token can set a new pin",
        Error::Module(_) => "module-path must be the absolute path of the library for this machine",
        Error::WrongKey(_) => "make a key with `taskseal keygen --pkcs11`",
        _ => return None,
    })
}
