//! What an operation on the token receives, and what it declares about itself.

use cryptoki::error::Error as Cryptoki;
use cryptoki::slot::Slot;

use super::session::{Access, Session};
use crate::health::Counters;
use crate::settings::Settings;

/// The slot and the counters of a token at one moment. A session or an object handle obtained under a snapshot is
/// valid until one of them changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenSnapshot {
    pub(crate) slot: Slot,
    /// Number of the recovery that found the handles of the keys.
    pub(crate) generation: u64,
    /// See [`SessionLosses`](super::session_table::SessionLosses).
    pub(crate) session_losses: u64,
    pub(crate) login_required: bool,
    /// Number of the initialisation of the library.
    pub(crate) epoch: u64,
    /// Number of logins to the device in this process.
    pub(crate) logins: u64,
}

/// The session of an operation, with what it needs to know about its token.
#[derive(Clone, Copy)]
pub(crate) struct SessionContext<'s> {
    pub(crate) session: &'s Session,
    pub(crate) snapshot: TokenSnapshot,
    pub(crate) settings: &'s Settings,
    pub(crate) counters: &'s Counters,
}

impl SessionContext<'_> {
    /// Fails if private objects are invisible for lack of a login.
    pub(crate) fn check_login(&self) -> Result<(), Cryptoki> {
        if self.snapshot.login_required { self.session.check_login() } else { Ok(()) }
    }

    /// Fails if the session is lost or not logged in.
    pub(crate) fn check_session(&self) -> Result<(), Cryptoki> {
        self.session.get_session_info()?;
        self.check_login()
    }

    /// Opens a session that can change the token. Those of the pool are read-only.
    pub(crate) fn write_session(&self) -> Result<Session, Cryptoki> {
        self.check_login()?;
        Session::open(self.session.module(), self.snapshot.slot, Access::ReadWrite)
    }
}

/// Whether an operation may be repeated after a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It changes nothing in the token, or repeating it has no further effect.
    Allowed,
    /// It may have taken effect although it failed.
    Forbidden,
    /// It neither waits for a recovery nor is repeated. For the recovery thread, which would wait for itself.
    NoWait,
}

/// Whether an operation creates or destroys objects, including temporary ones. Some libraries fail if several threads
/// do so at once, so these operations run one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectAccess {
    Read,
    Modify,
}
