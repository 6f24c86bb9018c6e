//! A token: opened by its name, logged in, and kept that way.

use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use taskseal_core::KeyId;
use taskseal_core::keys::AgreementPublicKey;

use crate::error::{Error, Failure, KeyDefect};
use crate::health::Health;
use crate::keys::attributes::Attributes;
use crate::keys::ec::Usage;
use crate::keys::public_key;
use crate::keys::selector::{KeySelector, TokenSelector};
use crate::login::pin::PinKeeper;
use crate::module::Module;
use crate::pool::Share;
use crate::pool::worker::{Bench, Objects, Repeat};
use crate::recovery::state::Shared;
use crate::recovery::supervisor::supervise;
use crate::settings::Settings;
use crate::uri::TokenUri;

/// A token that is logged in. Cheap to clone; closed when the last clone and the last key of it are dropped.
#[derive(Clone)]
pub struct Token(Arc<Open>);

/// Closes on drop: the threads hold `Shared` themselves.
struct Open {
    shared: Arc<Shared>,
    name: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// A key of a token, usable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDescription {
    /// `CKA_ID`.
    pub id: Vec<u8>,
    /// `CKA_LABEL`.
    pub label: String,
    /// What it is for.
    pub kind: KeyKind,
    /// Why it would be refused by its attributes.
    pub defect: Option<KeyDefect>,
    /// The token says that it was made inside and could never leave (`CKA_ALWAYS_SENSITIVE`,
    /// `CKA_NEVER_EXTRACTABLE`). Not so for keys that were imported, of which there may be copies.
    pub never_left: bool,
}

/// What a key of a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// ES256 signatures.
    Signing,
    /// ECDH key agreement.
    Agreement,
    /// HMAC.
    Mac,
    /// AES key wrap.
    Wrapping,
    /// A private key for no or several uses.
    Other,
}

impl KeyDescription {
    /// The kid, for keys that have one.
    #[must_use]
    pub fn kid(&self) -> Option<KeyId> {
        <[u8; KeyId::LEN]>::try_from(self.id.as_slice()).ok().map(KeyId::from_bytes)
    }
}

impl Token {
    /// Loads the library that the URI names, finds the token and logs in with one attempt.
    ///
    /// # Errors
    /// [`Error::Config`] if the URI has no `module-path`, [`Error::NoSuchToken`], [`Error::Ambiguous`],
    /// [`Error::AuthFailed`] and the others about PINs; otherwise [`Error`].
    pub fn open(uri: &TokenUri, mut settings: Settings) -> Result<Self, Error> {
        let path = uri.module_path().ok_or(Error::Config("the uri names no library by module-path"))?;
        if uri.module_name().is_some() {
            return Err(Error::Config("module-name is not looked up: name the library by module-path"));
        }
        let module = Module::load(path)?;
        settings.max_sessions = uri.max_sessions().or(settings.max_sessions);
        if let Some(timeout) = uri.timeout_ms() {
            settings.timeout = Duration::from_millis(timeout.into());
        }
        let pin = PinKeeper::new(settings.pin.take(), uri.pin_source().cloned());
        let shared = Arc::new(Shared::new(module, TokenSelector::new(uri), settings, pin));
        let (tell, opened) = mpsc::sync_channel(1);
        // From here on an error closes it again.
        let token = Self(Arc::new(Open {
            shared: Arc::clone(&shared),
            name: uri.label().or(uri.serial()).unwrap_or_default().to_owned(),
        }));
        let patience = shared.settings.timeout.max(OPENING);
        let supervised = shared.supervised();
        let supervisor = thread::Builder::new().name("hsm-recovery".to_owned());
        let supervisor = supervisor.spawn({
            let shared = Arc::clone(&shared);
            move || {
                let _supervised = supervised;
                supervise(&shared, &tell);
            }
        });
        if supervisor.is_err() {
            return Err(Error::Config("no thread could be started for the token"));
        }
        // The library may hang at the first call already.
        opened.recv_timeout(patience).map_err(|_| Error::Timeout)??;
        Ok(token)
    }

    /// Whether it is up, and everything there is to measure.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared().health()
    }

    /// The library it was opened through.
    #[must_use]
    pub fn module(&self) -> &Arc<Module> {
        &self.shared().module
    }

    /// Private and secret keys of the token, usable or not.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is away; otherwise [`Error`].
    pub fn keys(&self) -> Result<Vec<KeyDescription>, Error> {
        self.run(Repeat::Yes, Objects::Untouched, |bench| {
            bench.check_login()?;
            let mut keys = Vec::new();
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
                let found = bench.session.find_objects(&[Attribute::Class(class), Attribute::Token(true)])?;
                for handle in found {
                    let attributes = Attributes::read(bench.session, handle)?;
                    let allow_extractable = bench.shared.settings.allow_extractable;
                    let mut key = describe(attributes, class, allow_extractable);
                    let other_id = bench.shared.settings.allow_other_ids;
                    if other_id && key.defect == Some(KeyDefect::Id) && class == ObjectClass::PRIVATE_KEY {
                        key.defect = None;
                    } else if key.defect.is_none() && class == ObjectClass::PRIVATE_KEY {
                        key.defect = check_name(bench, handle, &key.id)?.err();
                    }
                    keys.push(key);
                }
            }
            Ok(keys)
        })
    }

    /// Destroys a key, both halves of it. There is no way back.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Ambiguous`]; otherwise [`Error`].
    pub fn destroy_key(&self, selector: &KeySelector) -> Result<(), Error> {
        let selector = selector.clone();
        self.run(Repeat::No, Objects::Made, move |bench| {
            let session = bench.write_session()?;
            let mut found = selector.find_all(&session, ObjectClass::PRIVATE_KEY)?;
            let private = !found.is_empty();
            found.extend(selector.find_all(&session, ObjectClass::SECRET_KEY)?);
            let key = match found.as_slice() {
                [] => return Err(Error::NoSuchKey.into()),
                [one] => *one,
                more => return Err(Error::Ambiguous { what: "keys", count: more.len() }.into()),
            };
            let id = Attributes::read(&session, key)?.id;
            session.destroy_object(key)?;
            if private && !id.is_empty() {
                for public in KeySelector::id(id).find_all(&session, ObjectClass::PUBLIC_KEY)? {
                    session.destroy_object(public)?;
                }
            }
            Ok(())
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Has a thread of the pool do `work`, and waits for it no longer than the settings say.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        repeat: Repeat,
        objects: Objects,
        work: impl Fn(&Bench<'_>) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Error> {
        let shared = self.shared();
        shared.check()?;
        let timeout = shared.settings.timeout;
        shared
            .pool
            .call(shared, timeout, Share::Queue, move |seat, ticket| seat.run(ticket, repeat, objects, work))
    }
}

/// Whether the id of a private key is the kid of its public half.
fn check_name(bench: &Bench<'_>, handle: ObjectHandle, id: &[u8]) -> Result<Result<(), KeyDefect>, Failure> {
    match public_key::read(bench.session, handle, id) {
        Ok(point) => Ok(match AgreementPublicKey::from_point(&point) {
            Ok(key) if key.kid().as_bytes() == id => Ok(()),
            Ok(_) if bench.shared.settings.allow_other_ids => Ok(()),
            Ok(_) => Err(KeyDefect::Id),
            Err(_) => Err(KeyDefect::PublicKey),
        }),
        Err(Failure::Ours(_)) => Ok(Err(KeyDefect::PublicKey)),
        Err(failure) => Err(failure),
    }
}

/// The least time a token gets to be found and logged in to: some make a point of being slow at that.
const OPENING: Duration = Duration::from_secs(10);

fn describe(attributes: Attributes, class: ObjectClass, allow_extractable: bool) -> KeyDescription {
    let (kind, checked) = if class == ObjectClass::SECRET_KEY {
        if attributes.is_wrapping() {
            (KeyKind::Wrapping, attributes.check_wrapping(allow_extractable))
        } else {
            (KeyKind::Mac, attributes.check_mac(allow_extractable))
        }
    } else {
        match attributes.usage() {
            Some(Usage::Sign) => (KeyKind::Signing, attributes.check_ec(Usage::Sign, allow_extractable)),
            Some(Usage::Agree) => (KeyKind::Agreement, attributes.check_ec(Usage::Agree, allow_extractable)),
            None => (KeyKind::Other, Err(KeyDefect::Usage)),
        }
    };
    let defect = checked.and(attributes.kid().map(|_| ())).err();
    let never_left = attributes.never_left();
    KeyDescription { id: attributes.id, label: attributes.label, kind, defect, never_left }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.0.name).finish_non_exhaustive()
    }
}
