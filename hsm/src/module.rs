//! PKCS#11 libraries: each is loaded and initialised once per process.

mod description;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::{Slot, TokenInfo};

pub use self::description::TokenDescription;

use crate::error::Error;
use crate::login::pin::Pin;
use crate::pool::expiring_mutex::{ExpiringGuard, ExpiringMutex};
use crate::pool::library_lock::{ExclusiveGuard, LibraryLock, SharedGuard};
use crate::pool::session_table::SessionTable;
use crate::sync::lock;

/// A loaded and initialised PKCS#11 library. A process has one for each path, because `C_Initialize` and `C_Finalize`
/// affect the whole process.
pub struct Module {
    path: PathBuf,
    pkcs11: Pkcs11,
    /// Process that called `C_Initialize`; a fork has another id.
    pid: u32,
    /// Whether another component of this process initialised the library, so that this crate must not finalise it.
    foreign: bool,
    library_lock: LibraryLock,
    /// Number of initialisations. Sessions and handles of an older one are invalid.
    epoch: AtomicU64,
    /// Whether the latest initialisation succeeded.
    initialized: AtomicBool,
    /// Serialises operations that create or destroy objects, because some libraries fail otherwise.
    objects: ExpiringMutex,
    /// Number of open tokens, which a restart affects.
    tokens: AtomicUsize,
    sessions: SessionTable,
}

impl Module {
    /// Loads and initialises a library, or returns the one that was loaded before.
    ///
    /// # Errors
    /// [`Error::Config`] if the path is not absolute, [`Error::Module`], [`Error::Token`], [`Error::Forked`].
    ///
    /// # Security
    /// The library runs with all rights of this process.
    pub fn load(path: impl AsRef<Path>) -> Result<Arc<Self>, Error> {
        Self::load_path(path.as_ref())
    }

    fn load_path(path: &Path) -> Result<Arc<Self>, Error> {
        static LOADED: OnceLock<Mutex<HashMap<PathBuf, Arc<Module>>>> = OnceLock::new();
        if !path.is_absolute() {
            return Err(Error::Config("the path of the PKCS#11 library must be absolute"));
        }
        // Two paths of one library must share one entry.
        let path = path.canonicalize().map_err(|error| Error::Module(error.to_string()))?;
        let mut loaded = lock(LOADED.get_or_init(Mutex::default));
        if let Some(module) = loaded.get(&path) {
            module.check_pid()?;
            return Ok(Arc::clone(module));
        }
        let pkcs11 = Pkcs11::new(&path).map_err(|error| Error::Module(error.to_string()))?;
        let foreign = match initialize(&pkcs11) {
            Ok(()) => false,
            Err(Cryptoki::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => true,
            Err(error) => return Err(error.into()),
        };
        let module = Arc::new(Self {
            path: path.clone(),
            pkcs11,
            pid: std::process::id(),
            foreign,
            library_lock: LibraryLock::default(),
            epoch: AtomicU64::new(1),
            initialized: AtomicBool::new(true),
            objects: ExpiringMutex::new(),
            tokens: AtomicUsize::new(0),
            sessions: SessionTable::default(),
        });
        loaded.insert(path, Arc::clone(&module));
        Ok(module)
    }

    /// Returns the path of the library.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the tokens that the library can describe at present.
    ///
    /// # Errors
    /// [`Error::Token`] if the library cannot list its slots.
    pub fn tokens(&self) -> Result<Vec<TokenDescription>, Error> {
        self.check_pid()?;
        let _guard = self.lock_shared()?;
        let slots = self.pkcs11.get_slots_with_token()?;
        let infos = slots.into_iter().filter_map(|slot| self.token_info(slot).ok());
        Ok(infos.map(|info| TokenDescription::of(&info)).collect())
    }

    /// Initialises the token in the first unused slot: sets its label, the PIN of its security officer and the user
    /// PIN.
    ///
    /// # Errors
    /// [`Error::Config`] if the label is empty, longer than 32 bytes or in use, [`Error::NoSuchToken`] if no token is
    /// unused, [`Error::Token`].
    pub fn init_token(&self, label: &str, so_pin: &Pin, user_pin: &Pin) -> Result<TokenDescription, Error> {
        if label.is_empty() || label.len() > 32 || label.chars().any(char::is_control) {
            return Err(Error::Config("a token label must have 1 to 32 bytes and no control characters"));
        }
        self.check_pid()?;
        let _guard = self.lock_shared()?;
        let slot = self.unused_slot(label)?;
        self.pkcs11.init_token(slot, so_pin.secret(), label)?;
        let session = self.pkcs11.open_rw_session(slot)?;
        session.login(UserType::So, Some(so_pin.secret()))?;
        session.init_pin(user_pin.secret())?;
        session.logout()?;
        Ok(TokenDescription::of(&self.token_info(slot)?))
    }

    /// Returns the first slot with an uninitialised token, provided that no other token has this label.
    fn unused_slot(&self, label: &str) -> Result<Slot, Error> {
        let mut unused = None;
        for slot in self.pkcs11.get_slots_with_token()? {
            let Ok(info) = self.token_info(slot) else { continue };
            if info.token_initialized() && info.label() == label {
                return Err(Error::Config("a token with this label already exists"));
            }
            if !info.token_initialized() && unused.is_none() {
                unused = Some(slot);
            }
        }
        unused.ok_or(Error::NoSuchToken)
    }

    /// Describes the token in a slot. A library that reads its tokens from files may fail while another process writes to them,
    /// so `CKR_GENERAL_ERROR` is tried once more.
    pub(crate) fn token_info(&self, slot: Slot) -> Result<TokenInfo, Cryptoki> {
        match self.pkcs11.get_token_info(slot) {
            Err(Cryptoki::Pkcs11(RvError::GeneralError, _)) => self.pkcs11.get_token_info(slot),
            result => result,
        }
    }

    pub(crate) const fn pkcs11(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Fails in a fork, where the handles belong to the parent and the threads do not exist.
    pub(crate) fn check_pid(&self) -> Result<(), Error> {
        if std::process::id() == self.pid { Ok(()) } else { Err(Error::Forked) }
    }

    pub(crate) const fn sessions(&self) -> &SessionTable {
        &self.sessions
    }

    /// Waits while the library is restarted or a user is logged in, and keeps both out until the guard is dropped.
    pub(crate) fn lock_shared(&self) -> Result<SharedGuard<'_>, Error> {
        self.lock_shared_until(Instant::now() + SHARED_WAIT)
    }

    /// Does the same as [`Module::lock_shared`], but not after `deadline`.
    pub(crate) fn lock_shared_until(&self, deadline: Instant) -> Result<SharedGuard<'_>, Error> {
        let deadline = deadline.min(Instant::now() + SHARED_WAIT);
        self.library_lock.lock_shared(deadline).ok_or(Error::Transient { retry_after: EXCLUSIVE_WAIT })
    }

    /// Excludes other threads for a login. `C_Login` changes the state of every session of its token, and in some
    /// libraries it deadlocks with a concurrent key agreement. If another thread does not leave in time, the login runs
    /// beside it; if the login itself is slow, other threads enter.
    pub(crate) fn lock_for_login(&self) -> Result<LoginGuard<'_>, Error> {
        match self.library_lock.lock_exclusive(Instant::now() + EXCLUSIVE_WAIT, Some(LOGIN_LIMIT)) {
            Some(guard) => Ok(LoginGuard::Exclusive(guard)),
            None => self.lock_shared().map(LoginGuard::Shared),
        }
    }

    /// Waits for the right to create and destroy objects. Must be called before the library lock is taken, so that the
    /// waiting thread does not count as stuck in the library.
    pub(crate) fn lock_objects(
        &self,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<ExpiringGuard<'_>, Error> {
        self.objects.acquire(deadline, timeout.min(OBJECTS_LIMIT)).ok_or(Error::Timeout)
    }

    /// Finalises and initialises the library, unless that was done since epoch `seen`. All sessions of the process
    /// become invalid.
    ///
    /// # Errors
    /// [`Error::Timeout`] if a thread is still inside, [`Error::Token`].
    pub(crate) fn restart(&self, seen: u64) -> Result<(), Error> {
        self.check_pid()?;
        // `C_Finalize` concurrent with another call is undefined behaviour.
        let exclusive = self.library_lock.lock_exclusive(Instant::now() + EXCLUSIVE_WAIT, None);
        let Some(_guard) = exclusive else { return Err(Error::Timeout) };
        if self.foreign || (self.epoch() != seen && self.initialized.load(Ordering::Acquire)) {
            return Ok(());
        }
        // From here on, no older session is closed: the library may assign its handle again.
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.initialized.store(false, Ordering::Release);
        // An error is ignored, because the library then reports it again at the initialisation.
        let _ = self.pkcs11.clone().finalize();
        match initialize(&self.pkcs11) {
            Ok(()) | Err(Cryptoki::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                self.initialized.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn register_token(&self) {
        self.tokens.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn unregister_token(&self) {
        self.tokens.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether a restart would affect at most one token.
    pub(crate) fn has_single_token(&self) -> bool {
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

/// The library lock during a login: exclusive if possible.
#[derive(Debug)]
pub(crate) enum LoginGuard<'m> {
    #[expect(dead_code, reason = "releases the lock on drop")]
    Exclusive(ExclusiveGuard<'m>),
    #[expect(dead_code, reason = "releases the lock on drop")]
    Shared(SharedGuard<'m>),
}

/// Maximum time a restart or a login waits for the threads inside.
const EXCLUSIVE_WAIT: Duration = Duration::from_millis(500);

/// Maximum time a login excludes other threads. A login that takes longer is slow or hangs.
const LOGIN_LIMIT: Duration = Duration::from_secs(2);

/// Maximum time a thread waits for a restart or a login. Exceeds [`LOGIN_LIMIT`].
const SHARED_WAIT: Duration = Duration::from_secs(3);

/// Maximum time one thread keeps others from creating and destroying objects.
const OBJECTS_LIMIT: Duration = Duration::from_secs(5);
