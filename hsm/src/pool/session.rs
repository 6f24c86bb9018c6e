//! Sessions, which are valid for one initialisation of the library and are closed by their owner.

use std::ops::Deref;
use std::sync::Arc;

use cryptoki::context::Function;
use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::session::{Session as RawSession, SessionState};
use cryptoki::slot::Slot;

use crate::module::Module;

/// A session of one initialisation of a library. Closed on drop.
#[derive(Debug)]
pub(crate) struct Session {
    raw: Option<RawSession>,
    module: Arc<Module>,
    epoch: u64,
    owner: u64,
}

/// Access rights of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

impl Session {
    /// Opens a session that is closed on drop, unless its handle belongs to another session by then.
    pub(crate) fn open(module: &Arc<Module>, slot: Slot, access: Access) -> Result<Self, Cryptoki> {
        let epoch = module.epoch();
        let raw = match access {
            Access::ReadOnly => module.pkcs11().open_ro_session_no_drop(slot),
            Access::ReadWrite => module.pkcs11().open_rw_session_no_drop(slot),
        }?;
        let owner = module.sessions().insert(handle(&raw));
        Ok(Self { raw: Some(raw), module: Arc::clone(module), epoch, owner })
    }

    pub(crate) const fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Returns the number of the initialisation that the session belongs to.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns whether the library was initialised again since the session was opened.
    pub(crate) fn is_stale(&self) -> bool {
        self.epoch != self.module.epoch()
    }

    /// Fails with `CKR_USER_NOT_LOGGED_IN` if the user is not logged in. Without a login, private objects are not
    /// refused but invisible, and a key would seem to be missing.
    pub(crate) fn check_login(&self) -> Result<(), Cryptoki> {
        match self.get_session_info()?.session_state() {
            SessionState::RoUser | SessionState::RwUser => Ok(()),
            _ => Err(Cryptoki::Pkcs11(RvError::UserNotLoggedIn, Function::GetSessionInfo)),
        }
    }

    /// Drops the session without closing it, because the library has no such session.
    pub(crate) fn forget(mut self) {
        if let Some(raw) = self.raw.take() {
            self.module.sessions().remove(handle(&raw), self.owner);
        }
    }
}

fn handle(raw: &RawSession) -> usize {
    usize::try_from(raw.handle()).unwrap_or(usize::MAX)
}

impl Deref for Session {
    type Target = RawSession;

    fn deref(&self) -> &RawSession {
        self.raw.as_ref().expect("the session is taken only when it is dropped")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(raw) = self.raw.take() else { return };
        // A restart of the library closes all sessions; a stale one need not wait for it.
        let guard = if self.is_stale() { None } else { self.module.lock_shared().ok() };
        let held = self.module.sessions().remove(handle(&raw), self.owner);
        if guard.is_some() && held && !self.is_stale() {
            // A session that cannot be closed no longer exists.
            let _ = raw.close();
        }
    }
}
