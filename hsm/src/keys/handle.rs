//! The handle of a key that is in use: found by id or label, checked, and pinned to the key that was loaded.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use cryptoki::object::{ObjectClass, ObjectHandle};

use super::attributes::Attributes;
use super::selector::KeySelector;
use crate::error::{Error, Failure, KeyDefect};
use crate::health::TokenEvent;
use crate::pool::operation::{ObjectAccess, SessionContext};
use crate::pool::session::Session;
use crate::recovery::classify::{Verdict, classify};
use crate::settings::Settings;
use crate::sync::lock;

/// What is known of a key since it was loaded. Checked again after every login.
pub(crate) trait PinnedKey: Send + Sync {
    /// Returns the class of the object.
    fn class(&self) -> ObjectClass;

    /// Returns whether finding and using the key creates objects.
    fn access(&self) -> ObjectAccess;

    /// Checks the type, the uses and the secrecy of the key.
    fn check(&self, attributes: &Attributes, allow_extractable: bool) -> Result<(), KeyDefect>;

    /// Has the object with this handle and name prove that it is the key that was loaded.
    fn prove(&self, session: &Session, handle: ObjectHandle, name: &KeySelector) -> Result<(), Failure>;
}

/// A key that is in use, and its present object handle.
pub(crate) struct KeyHandle {
    id: Vec<u8>,
    /// The id, or the label of a key without an id.
    name: KeySelector,
    key: Box<dyn PinnedKey>,
    lookup: Mutex<Lookup>,
}

/// The result of the latest search for the key.
struct Lookup {
    generation: u64,
    result: Result<ObjectHandle, Error>,
    finished: Instant,
}

impl KeyHandle {
    /// Creates the handle of a key that was just found and has proved itself.
    pub(crate) fn new(
        attributes: &Attributes,
        key: impl PinnedKey + 'static,
        generation: u64,
        handle: ObjectHandle,
    ) -> Self {
        let lookup = Lookup { generation, result: Ok(handle), finished: Instant::now() };
        let (id, name) = (attributes.id.clone(), attributes.name());
        Self { id, name, key: Box::new(key), lookup: Mutex::new(lookup) }
    }

    /// See [`PinnedKey::access`].
    pub(crate) fn access(&self) -> ObjectAccess {
        self.key.access()
    }

    /// Calls `work` with the handle of the key. After an ambiguous error the key is searched again, because the handle
    /// may have become invalid.
    pub(crate) fn with_handle<R>(
        &self,
        context: &SessionContext<'_>,
        work: impl Fn(&Session, ObjectHandle) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let session = context.session;
        let handle = self.current(context)?;
        match work(session, handle) {
            Err(Failure::Library(error))
                if classify(&error) == Verdict::Probe && context.check_session().is_ok() =>
            {
                let found = self.find_again(context.settings, session, context.snapshot.generation)?;
                if found == handle { Err(Failure::Library(error)) } else { work(session, found) }
            }
            result => result,
        }
    }

    /// Returns the handle in this generation, and searches the key if the handle is unknown or the key has been missing
    /// for a while.
    fn current(&self, context: &SessionContext<'_>) -> Result<ObjectHandle, Failure> {
        let generation = context.snapshot.generation;
        {
            let lookup = lock(&self.lookup);
            if lookup.generation == generation {
                match &lookup.result {
                    Ok(handle) => return Ok(*handle),
                    Err(error) if lookup.finished.elapsed() < MISSING_FOR => {
                        return Err(error.clone().into());
                    }
                    Err(_) => {}
                }
            }
        }
        self.find_again(context.settings, context.session, generation)
    }

    /// Searches the key, checks its attributes and has it prove itself. An error that recovery does not change is
    /// recorded for this key only, because other keys of the token may still work.
    pub(crate) fn find_again(
        &self,
        settings: &Settings,
        session: &Session,
        generation: u64,
    ) -> Result<ObjectHandle, Failure> {
        let result = match self.find(settings, session) {
            Err(Failure::Library(error)) if classify(&error) == Verdict::Permanent => Err(error.into()),
            Err(Failure::Library(error)) => return Err(Failure::Library(error)),
            Err(Failure::Final(error)) => Err(error),
            Ok(handle) => Ok(handle),
        };
        let lookup = Lookup { generation, result: result.clone(), finished: Instant::now() };
        let previous = std::mem::replace(&mut *lock(&self.lookup), lookup);
        let id = || self.id.clone();
        match (&previous.result, &result) {
            // A wrong result is a fault of the token, which is reported separately.
            (_, Err(Error::FaultyAnswer)) => {}
            (Ok(_), Err(reason)) => {
                settings.notify(&TokenEvent::KeyLost { id: id(), reason: reason.clone() });
            }
            (Err(_), Ok(_)) => settings.notify(&TokenEvent::KeyFound { id: id() }),
            _ => {}
        }
        result.map_err(Failure::Final)
    }

    fn find(&self, settings: &Settings, session: &Session) -> Result<ObjectHandle, Failure> {
        let handle = self.name.find(session, self.key.class())?;
        self.key.check(&Attributes::read(session, handle)?, settings.allow_extractable)?;
        self.key.prove(session, handle, &self.name)?;
        Ok(handle)
    }
}

/// Minimum time between two searches for a missing key.
const MISSING_FOR: Duration = Duration::from_secs(1);
