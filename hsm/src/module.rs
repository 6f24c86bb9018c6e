//! PKCS#11 libraries: loaded and initialised once a process, whoever asks.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::TokenInfo;

use crate::error::{Error, Fault};
use crate::login::pin::Pin;
use crate::pool::library_lock::{Gate, Pass, Shut};
use crate::pool::session::Owners;
use crate::sync::{Turn, Turnstile, lock};

/// A loaded and initialised PKCS#11 library. There is one of it in a process for a path, because `C_Initialize` and
/// `C_Finalize` hold for the whole process.
pub struct Module {
    path: PathBuf,
    pkcs11: Pkcs11,
    /// Who called `C_Initialize`: a fork is somebody else.
    pid: u32,
    /// Somebody else in this process had initialised the library, so that it is not ours to finalise.
    shared: bool,
    gate: Gate,
    /// Counts initialisations: sessions and handles of an older one are dead.
    epoch: AtomicU64,
    /// The latest initialisation succeeded.
    initialized: AtomicBool,
    /// Objects are made and destroyed one at a time: some libraries fail when several threads do it at once.
    objects: Turnstile,
    /// Open tokens, which a restart would disturb.
    tokens: AtomicUsize,
    sessions: Owners,
}

/// A token as its library describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenDescription {
    /// `CK_TOKEN_INFO.label`, without padding.
    pub label: String,
    /// Serial number.
    pub serial: String,
    /// Maker.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// It has a label, and a security officer's PIN.
    pub initialized: bool,
    /// It has a user's PIN.
    pub pin_initialized: bool,
    /// Wrong PINs have been counted.
    pub pin_count_low: bool,
    /// It accepts one more attempt.
    pub pin_final_try: bool,
    /// It accepts no attempt.
    pub pin_locked: bool,
}

impl TokenDescription {
    pub(crate) fn of(info: &TokenInfo) -> Self {
        Self {
            label: info.label().to_owned(),
            serial: info.serial_number().to_owned(),
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            initialized: info.token_initialized(),
            pin_initialized: info.user_pin_initialized(),
            pin_count_low: info.user_pin_count_low(),
            pin_final_try: info.user_pin_final_try(),
            pin_locked: info.user_pin_locked(),
        }
    }
}

impl Module {
    /// Loads a library and initialises it, or hands out the one that was loaded before.
    ///
    /// # Errors
    /// [`Error::Config`] for a path that is not absolute, [`Error::Module`], [`Error::Token`], [`Error::Forked`].
    ///
    /// # Security
    /// The library runs with all rights of this process.
    pub fn load(path: impl AsRef<Path>) -> Result<Arc<Self>, Error> {
        static LOADED: OnceLock<Mutex<HashMap<PathBuf, Arc<Module>>>> = OnceLock::new();
        let path = path.as_ref();
        if !path.is_absolute() {
            return Err(Error::Config("the path of the pkcs#11 library is not absolute"));
        }
        // One library under two names is one library.
        let path = path.canonicalize().map_err(|error| Error::Module(error.to_string()))?;
        let mut loaded = lock(LOADED.get_or_init(Mutex::default));
        if let Some(module) = loaded.get(&path) {
            module.check_pid()?;
            return Ok(Arc::clone(module));
        }
        let pkcs11 = Pkcs11::new(&path).map_err(|error| Error::Module(error.to_string()))?;
        let shared = match initialize(&pkcs11) {
            Ok(()) => false,
            Err(Cryptoki::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => true,
            Err(error) => return Err(Error::Token(Fault::new(&error))),
        };
        let module = Arc::new(Self {
            path: path.clone(),
            pkcs11,
            pid: std::process::id(),
            shared,
            gate: Gate::default(),
            epoch: AtomicU64::new(1),
            initialized: AtomicBool::new(true),
            objects: Turnstile::new(),
            tokens: AtomicUsize::new(0),
            sessions: Owners::default(),
        });
        loaded.insert(path, Arc::clone(&module));
        Ok(module)
    }

    /// Path of the library.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokens that the library can describe now.
    ///
    /// # Errors
    /// [`Error::Token`] if it cannot even list its slots.
    pub fn tokens(&self) -> Result<Vec<TokenDescription>, Error> {
        self.check_pid()?;
        let _pass = self.enter()?;
        let slots = self.pkcs11.get_slots_with_token().map_err(|error| Error::Token(Fault::new(&error)))?;
        let infos = slots.into_iter().filter_map(|slot| self.pkcs11.get_token_info(slot).ok());
        Ok(infos.map(|info| TokenDescription::of(&info)).collect())
    }

    /// Makes a token of the first slot that has none yet: sets its label, the security officer's PIN and the user's.
    ///
    /// # Errors
    /// [`Error::Config`] if the label is empty, longer than 32 bytes or taken, [`Error::NoSuchToken`] if every token
    /// is in use, [`Error::Token`].
    pub fn init_token(&self, label: &str, so_pin: &Pin, user_pin: &Pin) -> Result<TokenDescription, Error> {
        if label.is_empty() || label.len() > 32 || label.chars().any(char::is_control) {
            return Err(Error::Config("a token label has 1 to 32 bytes and no control characters"));
        }
        self.check_pid()?;
        let _pass = self.enter()?;
        let token = |error: Cryptoki| Error::Token(Fault::new(&error));
        let mut empty = None;
        for slot in self.pkcs11.get_slots_with_token().map_err(token)? {
            let Ok(info) = self.pkcs11.get_token_info(slot) else { continue };
            if info.token_initialized() && info.label() == label {
                return Err(Error::Config("there is a token with this label already"));
            }
            if !info.token_initialized() && empty.is_none() {
                empty = Some(slot);
            }
        }
        let slot = empty.ok_or(Error::NoSuchToken)?;
        self.pkcs11.init_token(slot, so_pin.secret(), label).map_err(token)?;
        let session = self.pkcs11.open_rw_session(slot).map_err(token)?;
        session.login(UserType::So, Some(so_pin.secret())).map_err(token)?;
        session.init_pin(user_pin.secret()).map_err(token)?;
        session.logout().map_err(token)?;
        let info = self.pkcs11.get_token_info(slot).map_err(token)?;
        Ok(TokenDescription::of(&info))
    }

    pub(crate) const fn pkcs11(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Refuses to go on in a fork: handles are those of the parent, and the threads are not here.
    pub(crate) fn check_pid(&self) -> Result<(), Error> {
        if std::process::id() == self.pid { Ok(()) } else { Err(Error::Forked) }
    }

    pub(crate) const fn sessions(&self) -> &Owners {
        &self.sessions
    }

    /// Goes into the library; not while it is being restarted or a user is being logged in.
    pub(crate) fn enter(&self) -> Result<Pass<'_>, Error> {
        self.enter_by(Instant::now() + ENTERING)
    }

    /// Goes into the library, but not after `deadline`.
    pub(crate) fn enter_by(&self, deadline: Instant) -> Result<Pass<'_>, Error> {
        let deadline = deadline.min(Instant::now() + ENTERING);
        self.gate.enter(deadline).ok_or(Error::Transient { retry_after: LEAVING })
    }

    /// Goes into the library when nobody else is inside: `C_Login` changes the state of every session of its token,
    /// and there are libraries where it and a key agreement wait for each other for ever. Where somebody does not come
    /// out in time, goes in beside them; and where it takes long itself, others come in.
    pub(crate) fn enter_alone(&self) -> Result<Alone<'_>, Error> {
        match self.gate.shut(Instant::now() + LEAVING, Some(LOGIN)) {
            Some(shut) => Ok(Alone::Alone(shut)),
            None => self.enter().map(Alone::Beside),
        }
    }

    /// The right to make and destroy objects. To be had before going in: whoever waits for it is not stuck.
    pub(crate) fn turn(&self, deadline: Instant, timeout: Duration) -> Result<Turn<'_>, Error> {
        self.objects.pass(deadline, timeout.min(TURN)).ok_or(Error::Timeout)
    }

    /// Finalises and initialises the library, unless that happened since `seen`. Every session of the process is gone
    /// then.
    ///
    /// # Errors
    /// [`Error::Timeout`] if a thread is still inside, [`Error::Token`].
    pub(crate) fn restart(&self, seen: u64) -> Result<(), Error> {
        self.check_pid()?;
        // `C_Finalize` beside another call is undefined.
        let Some(_shut) = self.gate.shut(Instant::now() + LEAVING, None) else { return Err(Error::Timeout) };
        if self.shared || (self.epoch() != seen && self.initialized.load(Ordering::Acquire)) {
            return Ok(());
        }
        // From here on nobody closes a session of before: its number may be given out again.
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.initialized.store(false, Ordering::Release);
        match self.pkcs11.clone().finalize() {
            Ok(()) | Err(Cryptoki::Pkcs11(RvError::CryptokiNotInitialized, _)) => {}
            // A library that cannot end says so now and again when it is to begin.
            Err(_) => {}
        }
        match initialize(&self.pkcs11) {
            Ok(()) | Err(Cryptoki::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                self.initialized.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => Err(Error::Token(Fault::new(&error))),
        }
    }

    /// Counts an open token.
    pub(crate) fn opened(&self) {
        self.tokens.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a token that was closed.
    pub(crate) fn closed(&self) {
        self.tokens.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether a restart would disturb one token only.
    pub(crate) fn serves_one(&self) -> bool {
        self.tokens.load(Ordering::Acquire) <= 1
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("path", &self.path).finish_non_exhaustive()
    }
}

fn initialize(pkcs11: &Pkcs11) -> Result<(), Cryptoki> {
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
}

/// Inside the library, if possible with nobody else.
#[derive(Debug)]
pub(crate) enum Alone<'m> {
    #[expect(dead_code, reason = "opens the gate on drop")]
    Alone(Shut<'m>),
    #[expect(dead_code, reason = "leaves on drop")]
    Beside(Pass<'m>),
}

/// How long a restart or a login waits for the threads that are inside.
const LEAVING: Duration = Duration::from_millis(500);

/// How long a login keeps others out of the library. One that takes longer is slow or hangs, and then others go in
/// beside it.
const LOGIN: Duration = Duration::from_secs(2);

/// How long a thread waits for a restart or a login: longer than a login keeps others out.
const ENTERING: Duration = Duration::from_secs(3);

/// How long a turn with objects lasts at most.
const TURN: Duration = Duration::from_secs(5);
