//! A key of a token: found by its id, checked, tested, and pinned to what it was at first.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use cryptoki::object::{ObjectClass, ObjectHandle};
use taskseal_core::keys::{AgreementPublicKey, POINT_LEN, VerifyingKey};

use crate::error::{Error, Failure, Fault, KeyDefect};
use crate::health::Event;
use crate::keys::attributes::Attributes;
use crate::keys::ec::Usage;
use crate::keys::selector::KeySelector;
use crate::keys::{ecdh, ecdsa, mac, wrapping};
use crate::pool::session::Session;
use crate::pool::worker::{Bench, Objects};
use crate::recovery::classify::{Verdict, classify};
use crate::recovery::state::Shared;
use crate::sync::lock;

/// A key that is in use, and where it is at the moment.
#[derive(Debug)]
pub(crate) struct Located {
    id: Vec<u8>,
    identity: Identity,
    allow_extractable: bool,
    place: Mutex<Place>,
}

/// What makes a key this key and no other: checked after every login.
#[derive(Debug)]
pub(crate) enum Identity {
    Signing(VerifyingKey),
    Agreement(AgreementPublicKey),
    /// What a MAC key makes of a fixed text.
    Mac([u8; 32]),
    /// What a wrapping key makes of a fixed key.
    Wrapping(Vec<u8>),
}

#[derive(Debug)]
struct Place {
    generation: u64,
    result: Result<ObjectHandle, Error>,
    looked: Instant,
}

impl Located {
    /// A key that has just been found and tested.
    pub(crate) fn new(
        id: Vec<u8>,
        identity: Identity,
        allow_extractable: bool,
        generation: u64,
        handle: ObjectHandle,
    ) -> Self {
        let place = Place { generation, result: Ok(handle), looked: Instant::now() };
        Self { id, identity, allow_extractable, place: Mutex::new(place) }
    }

    /// Whether to find it and to use it makes objects.
    pub(crate) const fn objects(&self) -> Objects {
        match self.identity {
            Identity::Agreement(_) | Identity::Wrapping(_) => Objects::Made,
            Identity::Signing(_) | Identity::Mac(_) => Objects::Untouched,
        }
    }

    /// Uses the key. After an error that can mean anything, the key's absence included, it is looked for before the
    /// error is believed.
    pub(crate) fn using<R>(
        &self,
        bench: &Bench<'_>,
        work: impl Fn(&Session, ObjectHandle) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let (session, generation) = (bench.session, bench.footing.generation);
        let handle = self.handle(bench)?;
        match work(session, handle) {
            Err(Failure::Library(error))
                if classify(&error) == Verdict::Probe && bench.check_session().is_ok() =>
            {
                let found = self.locate(bench.shared, session, generation)?;
                if found == handle { Err(Failure::Library(error)) } else { work(session, found) }
            }
            result => result,
        }
    }

    /// The handle in this generation, looked for if it is not known. A key that was not there is looked for again
    /// after a while.
    fn handle(&self, bench: &Bench<'_>) -> Result<ObjectHandle, Failure> {
        let generation = bench.footing.generation;
        {
            let place = lock(&self.place);
            if place.generation == generation {
                match &place.result {
                    Ok(handle) => return Ok(*handle),
                    Err(error) if place.looked.elapsed() < LOOK_AGAIN => return Err(error.clone().into()),
                    Err(_) => {}
                }
            }
        }
        self.locate(bench.shared, bench.session, generation)
    }

    /// Finds the key, checks that it is the one, and has it prove that it works. An error that no recovery changes is this
    /// key's own: others of the token may work all the same.
    pub(crate) fn locate(
        &self,
        shared: &Shared,
        session: &Session,
        generation: u64,
    ) -> Result<ObjectHandle, Failure> {
        let result = match self.find(session) {
            Err(Failure::Library(error)) if classify(&error) == Verdict::Permanent => {
                Err(Error::Token(Fault::new(&error)))
            }
            Err(Failure::Library(error)) => return Err(Failure::Library(error)),
            Err(Failure::Ours(error)) => Err(error),
            Ok(handle) => Ok(handle),
        };
        let place = Place { generation, result: result.clone(), looked: Instant::now() };
        let before = std::mem::replace(&mut *lock(&self.place), place);
        let id = || self.id.clone();
        match (&before.result, &result) {
            // A wrong answer is the token's fault, and is told of as that.
            (_, Err(Error::FaultyAnswer)) => {}
            (Ok(_), Err(reason)) => shared.tell(&Event::KeyLost { id: id(), reason: reason.clone() }),
            (Err(_), Ok(_)) => shared.tell(&Event::KeyFound { id: id() }),
            _ => {}
        }
        result.map_err(Failure::Ours)
    }

    fn find(&self, session: &Session) -> Result<ObjectHandle, Failure> {
        let handle = KeySelector::id(self.id.clone()).find(session, self.class())?;
        let attributes = Attributes::read(session, handle)?;
        match &self.identity {
            Identity::Signing(key) => {
                attributes.check_ec(Usage::Sign, self.allow_extractable)?;
                same_point(session, handle, &self.id, &key.to_point())?;
                ecdsa::self_test(session, handle, key)?;
            }
            Identity::Agreement(key) => {
                attributes.check_ec(Usage::Agree, self.allow_extractable)?;
                same_point(session, handle, &self.id, &key.to_point())?;
                ecdh::self_test(session, handle, key)?;
            }
            Identity::Mac(proof) => {
                attributes.check_mac(self.allow_extractable)?;
                if !taskseal_core::tags_match(&mac::proof(session, handle)?, proof) {
                    return Err(Error::KeyChanged.into());
                }
            }
            Identity::Wrapping(proof) => {
                attributes.check_wrapping(self.allow_extractable)?;
                if wrapping::proof(session, handle)? != *proof {
                    return Err(Error::KeyChanged.into());
                }
            }
        }
        Ok(handle)
    }

    const fn class(&self) -> ObjectClass {
        match self.identity {
            Identity::Signing(_) | Identity::Agreement(_) => ObjectClass::PRIVATE_KEY,
            Identity::Mac(_) | Identity::Wrapping(_) => ObjectClass::SECRET_KEY,
        }
    }
}

fn same_point(
    session: &Session,
    handle: ObjectHandle,
    id: &[u8],
    pinned: &[u8; POINT_LEN],
) -> Result<(), Failure> {
    match crate::keys::public_key::read(session, handle, id) {
        Ok(point) if point == *pinned => Ok(()),
        Ok(_) => Err(Error::KeyChanged.into()),
        // Without a public object the self-test decides: only this key can pass it.
        Err(Failure::Ours(Error::WrongKey(KeyDefect::PublicKey))) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// How long a key that was not there is taken to be still away.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
