//! A token: opened by its name, logged in, and recovered after a loss.

use std::fmt;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{Error, Failure};
use crate::health::Health;
use crate::keys::handle::KeyHandle;
use crate::login::connect::TokenLogin;
use crate::login::pin_keeper::PinKeeper;
use crate::login::token_selector::TokenSelector;
use crate::module::{Module, TokenDescription};
use crate::pool::operation::{ObjectAccess, Retry, SessionContext};
use crate::recovery::state::SharedState;
use crate::recovery::supervisor::supervise;
use crate::settings::Settings;
use crate::uri::TokenUri;

/// A token that is logged in. Clones share it. It is closed when the last clone and the last of its keys are dropped.
#[derive(Clone)]
pub struct Token(Arc<OpenToken>);

/// Closes the token on drop. The threads own the state themselves.
struct OpenToken {
    state: Arc<SharedState>,
    name: String,
    /// The recovery thread.
    supervisor: OnceLock<JoinHandle<()>>,
}

impl Drop for OpenToken {
    fn drop(&mut self) {
        if self.state.close()
            && let Some(supervisor) = self.supervisor.take()
            && supervisor.thread().id() != thread::current().id()
        {
            // Short: it has made its last call. See `Pool::wait_ended`.
            let _ = supervisor.join();
        }
    }
}

impl Token {
    /// Loads the library that the URI names, finds the token and logs in with one attempt.
    ///
    /// # Errors
    /// [`Error::Config`] if the URI has no `module-path`, [`Error::NoSuchToken`], [`Error::Ambiguous`],
    /// [`Error::AuthFailed`] and the other errors of PINs; otherwise [`Error`].
    pub fn open(uri: &TokenUri, mut settings: Settings) -> Result<Self, Error> {
        let path = uri.module_path().ok_or(Error::Config("the URI must set module-path"))?;
        if uri.module_name().is_some() {
            return Err(Error::Config("module-name is not supported: set module-path instead"));
        }
        let module = Module::load(path)?;
        settings.max_sessions = uri.max_sessions().or(settings.max_sessions);
        if let Some(timeout) = uri.timeout_ms() {
            settings.timeout = Duration::from_millis(timeout.into());
        }
        let pin = PinKeeper::new(settings.pin.take(), uri.pin_source().cloned());
        let login = TokenLogin::new(Arc::clone(&module), TokenSelector::new(uri), pin, &settings);
        let state = Arc::new(SharedState::new(module, login, settings));
        let (sender, opened) = mpsc::sync_channel(1);
        // Created first, so that the token is closed if the rest fails.
        let token = Self(Arc::new(OpenToken {
            state: Arc::clone(&state),
            name: uri.label().or(uri.serial()).unwrap_or_default().to_owned(),
            supervisor: OnceLock::new(),
        }));
        let timeout = state.settings.timeout.max(MIN_OPEN_TIMEOUT);
        let guard = state.supervise_guard();
        let supervisor = thread::Builder::new().name("hsm-recovery".to_owned()).spawn(move || {
            let _guard = guard;
            supervise(&state, &sender);
        });
        let supervisor = supervisor.map_err(|_| Error::Config("cannot start a thread for the token"))?;
        // Set once: the token was created above.
        let _ = token.0.supervisor.set(supervisor);
        // The first call of the library may hang.
        opened.recv_timeout(timeout).map_err(|_| Error::Timeout)??;
        Ok(token)
    }

    /// Reads the PIN again if the token has rejected it. Another PIN is tried once; a PIN that was rejected is not. Calls wait for the
    /// login, so that they succeed if the token accepts it.
    pub fn retry_with_changed_pin(&self) {
        self.0.state.request_login_with_changed_pin();
    }

    /// Returns the health of the token.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.state.health()
    }

    /// Returns the library through which the token was opened.
    #[must_use]
    pub fn module(&self) -> &Arc<Module> {
        &self.0.state.module
    }

    /// Returns the names of the mechanisms that the token lists, such as `CKM_ECDSA`, in alphabetical order. Whether a
    /// key can be used is known only after it was [loaded](crate::EcKey::load).
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is unavailable; otherwise [`Error`].
    pub fn mechanisms(&self) -> Result<Vec<String>, Error> {
        self.run(Retry::Allowed, ObjectAccess::Read, |context| {
            let pkcs11 = context.session.module().pkcs11();
            let listed = pkcs11.get_mechanism_list(context.snapshot.slot)?;
            let mut names: Vec<_> = listed.iter().map(ToString::to_string).collect();
            names.sort();
            names.dedup();
            Ok(names)
        })
    }

    /// Returns the description of the token by its library.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is unavailable; otherwise [`Error`].
    pub fn description(&self) -> Result<TokenDescription, Error> {
        self.run(Retry::Allowed, ObjectAccess::Read, |context| {
            let module = context.session.module();
            Ok(TokenDescription::of(&module.token_info(context.snapshot.slot)?))
        })
    }

    /// Executes `work` on a thread of the token and waits for its result, at most for the timeout of the settings.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        retry: Retry,
        access: ObjectAccess,
        work: impl Fn(&SessionContext<'_>) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Error> {
        self.0.state.run(retry, access, work)
    }

    /// Registers a key whose handle is found again after each login.
    pub(crate) fn register_key(&self, key: &Arc<KeyHandle>) {
        self.0.state.register_key(key);
    }
}

/// Minimum time for opening a token, because some take long to find and to log in to.
const MIN_OPEN_TIMEOUT: Duration = Duration::from_secs(10);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.0.name).finish_non_exhaustive()
    }
}
