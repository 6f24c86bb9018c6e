//! Sessions of one initialisation of a library, closed by those that opened them.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use cryptoki::context::Function;
use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::session::{Session as RawSession, SessionState};
use cryptoki::slot::Slot;

use crate::module::Module;
use crate::sync::lock;

/// Who opened a session last under which number. A library may give the number of a lost session out again, and then
/// whoever still has the lost one must not close the new one.
#[derive(Debug, Default)]
pub(crate) struct Owners(Mutex<Opened>);

#[derive(Debug, Default)]
struct Opened {
    count: u64,
    owners: HashMap<usize, u64>,
}

impl Owners {
    fn claim(&self, handle: usize) -> u64 {
        let mut opened = lock(&self.0);
        opened.count += 1;
        let owner = opened.count;
        opened.owners.insert(handle, owner);
        owner
    }

    /// Whether the number was still the owner's.
    fn release(&self, handle: usize, owner: u64) -> bool {
        let mut opened = lock(&self.0);
        let held = opened.owners.get(&handle) == Some(&owner);
        if held {
            opened.owners.remove(&handle);
        }
        held
    }
}

/// A session of one initialisation of a library. Closed on drop.
#[derive(Debug)]
pub(crate) struct Session {
    raw: Option<RawSession>,
    module: Arc<Module>,
    epoch: u64,
    owner: u64,
}

impl Session {
    /// Opens a session that is closed on drop, unless its handle means something else by then.
    pub(crate) fn open(module: &Arc<Module>, slot: Slot, write: bool) -> Result<Self, Cryptoki> {
        let epoch = module.epoch();
        let raw = if write {
            module.pkcs11().open_rw_session_no_drop(slot)
        } else {
            module.pkcs11().open_ro_session_no_drop(slot)
        }?;
        let owner = module.sessions().claim(number(&raw));
        Ok(Self { raw: Some(raw), module: Arc::clone(module), epoch, owner })
    }

    /// The initialisation it belongs to.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Of an initialisation that is over.
    pub(crate) fn is_stale(&self) -> bool {
        self.epoch != self.module.epoch()
    }

    /// Fails as the library would if it had been asked for something that needs a login. Without one, private objects
    /// are not refused but invisible, and a key would seem to be gone.
    pub(crate) fn check_login(&self) -> Result<(), Cryptoki> {
        match self.get_session_info()?.session_state() {
            SessionState::RoUser | SessionState::RwUser => Ok(()),
            _ => Err(Cryptoki::Pkcs11(RvError::UserNotLoggedIn, Function::GetSessionInfo)),
        }
    }

    /// Lets go without closing: the library says that there is no such session.
    pub(crate) fn forget(mut self) {
        if let Some(raw) = self.raw.take() {
            self.module.sessions().release(number(&raw), self.owner);
        }
    }
}

fn number(raw: &RawSession) -> usize {
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
        // A restart ends all sessions anyway; nobody waits for it to be over.
        let pass = if self.is_stale() { None } else { self.module.enter().ok() };
        let held = self.module.sessions().release(number(&raw), self.owner);
        if pass.is_some() && held && !self.is_stale() {
            // A session that cannot be closed is gone already.
            let _ = raw.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_given_out_again_is_closed_by_its_last_owner_only() {
        let owners = Owners::default();
        let lost = owners.claim(7);
        let other = owners.claim(8);
        let new = owners.claim(7);

        assert!(!owners.release(7, lost));
        assert!(owners.release(7, new) && owners.release(8, other));
        assert!(!owners.release(7, new), "twice");
    }
}
