//! What a thread of the pool owns: a session, kept from call to call.

use std::sync::Arc;

use cryptoki::error::Error as Cryptoki;

use super::operation::TokenSnapshot;
use super::session::{Access, Session};
use crate::module::Module;
use crate::recovery::classify::RecoveryLevel;

/// The session of one thread, with the snapshot under which it was opened.
#[derive(Debug, Default)]
pub(crate) struct PoolWorker {
    session: Option<(Session, TokenSnapshot)>,
}

impl PoolWorker {
    /// Returns the session of this thread, opened again if the old one cannot be trusted.
    pub(crate) fn session(
        &mut self,
        module: &Arc<Module>,
        snapshot: TokenSnapshot,
    ) -> Result<&Session, Cryptoki> {
        let trusted = |session: &Session, opened: &TokenSnapshot| {
            !session.is_stale()
                && opened.session_losses == snapshot.session_losses
                && opened.slot == snapshot.slot
        };
        self.session.take_if(|(session, opened)| !trusted(session, opened));
        if self.session.is_none() {
            let session = Session::open(module, snapshot.slot, Access::ReadOnly)?;
            if snapshot.login_required {
                session.check_login()?;
            }
            self.session = Some((session, snapshot));
        }
        let (session, _) = self.session.as_ref().expect("it was opened above");
        Ok(session)
    }

    /// Returns what must be recovered after an ambiguous error, such as a lost login; `None` if the session works.
    pub(crate) fn probe(&self, snapshot: TokenSnapshot) -> Option<RecoveryLevel> {
        let Some((session, _)) = &self.session else { return Some(RecoveryLevel::Library) };
        if session.get_session_info().is_err() {
            Some(RecoveryLevel::Library)
        } else if snapshot.login_required && session.check_login().is_err() {
            Some(RecoveryLevel::Login)
        } else {
            None
        }
    }

    /// Closes the session, whatever state it is in.
    pub(crate) fn close(&mut self) {
        self.session = None;
    }

    /// Drops a session that the library no longer has.
    pub(crate) fn forget(&mut self) {
        if let Some((session, _)) = self.session.take() {
            session.forget();
        }
    }
}
