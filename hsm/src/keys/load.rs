//! Loads keys: the part that all kinds of keys have in common.

use std::sync::Arc;

use cryptoki::object::{ObjectClass, ObjectHandle};

use super::attributes::Attributes;
use super::handle::{KeyHandle, PinnedKey};
use super::selector::KeySelector;
use crate::error::{Error, Failure};
use crate::pool::operation::{ObjectAccess, Retry, SessionContext};
use crate::pool::session::Session;
use crate::token::Token;

/// A key that was loaded, with what its kind pins of it.
#[derive(Clone)]
pub(crate) struct LoadedKey<P> {
    pub(crate) token: Token,
    pub(crate) pinned: P,
    pub(crate) label: Arc<str>,
    handle: Arc<KeyHandle>,
}

/// What must be known to find a key and to pin it.
pub(crate) struct LoadRequest<'s> {
    pub(crate) selector: &'s KeySelector,
    pub(crate) class: ObjectClass,
    /// Whether pinning the key creates objects.
    pub(crate) access: ObjectAccess,
}

impl<P: PinnedKey + Clone + 'static> LoadedKey<P> {
    /// Finds a key and registers it for recovery. `pin` checks the attributes, has the key prove that it works, and
    /// returns what identifies it from then on.
    pub(crate) fn load(
        token: &Token,
        request: LoadRequest<'_>,
        pin: impl Fn(&SessionContext<'_>, ObjectHandle, &Attributes) -> Result<P, Failure> + Send + 'static,
    ) -> Result<Self, Error> {
        let selector = request.selector.clone();
        let class = request.class;
        let (handle, pinned, label) = token.run(Retry::Allowed, request.access, move |context| {
            let handle = selector.find(context.session, class)?;
            let attributes = Attributes::read(context.session, handle)?;
            let pinned = pin(context, handle, &attributes)?;
            let generation = context.snapshot.generation;
            let key = KeyHandle::new(&attributes, pinned.clone(), generation, handle);
            Ok((key, pinned, attributes.label))
        })?;
        let handle = Arc::new(handle);
        token.register_key(&handle);
        Ok(Self { token: token.clone(), pinned, label: label.into(), handle })
    }

    /// Calls `work` with the handle of the key on a thread of the token, again after a recovery.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        access: ObjectAccess,
        work: impl Fn(&SessionContext<'_>, &Session, ObjectHandle) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Error> {
        let handle = Arc::clone(&self.handle);
        self.token.run(Retry::Allowed, access, move |context| {
            handle.with_handle(context, |session, key| work(context, session, key))
        })
    }
}
