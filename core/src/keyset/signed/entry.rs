//! Entries of a keyset: a key with its state, its times and its role.

use core::fmt;

use super::role::Role;
use super::state::KeyState;
use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Sink, SinkError};
use crate::claims::MAX_TIME;
use crate::keys::{AgreementPublicKey, POINT_LEN, VerifyingKey, coordinates, point};
use crate::kid::KeyId;
use crate::label;

/// The key of an entry. Public keys are included, shared keys are named by kid only.
///
/// ```cddl
/// key = { 1: 2, 3: -7 / -25, -1: 1, -2: x, -3: y }   ; signs / is agreed with (COSE_Key, RFC 9052 7)
///     / { 1: 4, 2: kid, 3: 5 / 3 }                   ; HMAC 256/256 / A256GCM; the secret is elsewhere
///     / { 2: kid }                                   ; destroyed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKey {
    /// Verifies suites S, SE and SP.
    Es256(VerifyingKey),
    /// Recipient of encrypted bodies (suite SP): of those that its role names, or of a configuration that names its kid.
    /// Verifies nothing.
    Agreement(AgreementPublicKey),
    /// The HMAC key with this kid: verifies suite M.
    Hmac256(KeyId),
    /// The encryption key with this kid: verifies suite E if it has a role, encrypts inside SE otherwise.
    A256Gcm(KeyId),
    /// The remainder of a destroyed key.
    Tombstone(KeyId),
}

/// An entry of a keyset. Set the fields, or chain the methods with the same names.
///
/// ```cddl
/// entry = { 1: key, 2: state, ? 3: time, ? 4: time, ? 5: time, ? 6: role }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// The key.
    pub key: EntryKey,
    /// State of the key, which determines its uses.
    pub state: KeyState,
    /// Unix time in seconds from which the key seals, if it is primary.
    pub use_from: Option<u64>,
    /// Unix time in seconds from which the key no longer seals.
    pub sign_until: Option<u64>,
    /// Unix time in seconds from which envelopes sealed with the key are refused. Required for a retiring key.
    pub accept_until: Option<u64>,
    /// Rights of the key; of a key agreement key, the bodies that are encrypted to it.
    pub role: Option<Role<'a>>,
}

/// An entry that violates a rule: a tombstone that is not destroyed, a destroyed key that is not a tombstone, times in
/// the wrong order, a retiring key without an end, a role without members or with invalid patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidEntry;

impl fmt::Display for InvalidEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entry of the keyset contradicts itself")
    }
}

impl core::error::Error for InvalidEntry {}

impl<'a> Entry<'a> {
    /// Creates an entry without time limits and without rights.
    #[must_use]
    pub const fn new(key: EntryKey, state: KeyState) -> Self {
        Self { key, state, use_from: None, sign_until: None, accept_until: None, role: None }
    }

    /// Creates the tombstone of the key `kid`.
    #[must_use]
    pub const fn tombstone(kid: KeyId) -> Self {
        Self::new(EntryKey::Tombstone(kid), KeyState::Destroyed)
    }

    /// Sets the state.
    #[must_use]
    pub const fn state(mut self, state: KeyState) -> Self {
        self.state = state;
        self
    }

    /// Sets the time from which the key seals.
    #[must_use]
    pub const fn use_from(mut self, time: u64) -> Self {
        self.use_from = Some(time);
        self
    }

    /// Sets the time until which the key seals.
    #[must_use]
    pub const fn sign_until(mut self, time: u64) -> Self {
        self.sign_until = Some(time);
        self
    }

    /// Sets the time until which the key is accepted.
    #[must_use]
    pub const fn accept_until(mut self, time: u64) -> Self {
        self.accept_until = Some(time);
        self
    }

    /// Sets the role.
    #[must_use]
    pub const fn role(mut self, role: Role<'a>) -> Self {
        self.role = Some(role);
        self
    }

    /// Returns the kid of the key.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.key.kid()
    }

    /// Checks the rules of the specification.
    ///
    /// # Errors
    /// [`InvalidEntry`], which lists the rules.
    pub fn check(&self) -> Result<(), InvalidEntry> {
        let destroyed = self.state == KeyState::Destroyed;
        let tombstone = matches!(self.key, EntryKey::Tombstone(_));
        let bare = self.times().iter().all(|(_, time)| time.is_none()) && self.role.is_none();
        let valid = destroyed == tombstone
            && (bare || !tombstone)
            && self.role.is_none_or(|role| role.is_valid())
            && (self.state != KeyState::Retiring || self.accept_until.is_some())
            && self.times_are_in_order();
        if valid { Ok(()) } else { Err(InvalidEntry) }
    }

    /// Checks `use_from < sign_until <= accept_until` for those that are present.
    fn times_are_in_order(&self) -> bool {
        let until = u64::MAX;
        let (sign_until, accept_until) =
            (self.sign_until.unwrap_or(until), self.accept_until.unwrap_or(until));
        self.times().iter().all(|(_, time)| time.is_none_or(|time| time < MAX_TIME))
            && self.use_from.is_none_or(|from| from < sign_until.min(accept_until))
            && (self.sign_until.is_none() || sign_until <= accept_until)
    }

    const fn times(&self) -> [(u64, Option<u64>); 3] {
        [(3, self.use_from), (4, self.sign_until), (5, self.accept_until)]
    }

    pub(super) fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        let times = self.times().iter().filter(|(_, time)| time.is_some()).count() as u64;
        sink.map(2 + times + u64::from(self.role.is_some()))?;
        sink.uint(1)?;
        self.key.encode(sink)?;
        sink.uint(2)?;
        sink.uint(self.state.code())?;
        for (label, time) in self.times() {
            if let Some(time) = time {
                sink.uint(label)?;
                sink.uint(time)?;
            }
        }
        if let Some(role) = &self.role {
            sink.uint(6)?;
            role.encode(sink)?;
        }
        Ok(())
    }

    /// Decodes an entry and checks its rules. The caller checks that the encoding is deterministic.
    pub(super) fn decode(decoder: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let (mut key, mut state, mut role) = (None, None, None);
        let (mut use_from, mut sign_until, mut accept_until) = (None, None, None);
        for _ in 0..decoder.map(6)? {
            match decoder.uint()? {
                1 => key = Some(EntryKey::decode(decoder)?),
                2 => state = KeyState::from_code(decoder.uint()?),
                3 => use_from = Some(decoder.uint()?),
                4 => sign_until = Some(decoder.uint()?),
                5 => accept_until = Some(decoder.uint()?),
                6 => role = Some(Role::decode(decoder)?),
                _ => return Err(DecodeError),
            }
        }
        let (Some(key), Some(state)) = (key, state) else { return Err(DecodeError) };
        let entry = Self { key, state, use_from, sign_until, accept_until, role };
        entry.check().map_err(|InvalidEntry| DecodeError)?;
        Ok(entry)
    }
}

impl EntryKey {
    /// Returns the kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        match self {
            Self::Es256(key) => key.kid(),
            Self::Agreement(key) => key.kid(),
            Self::Hmac256(kid) | Self::A256Gcm(kid) | Self::Tombstone(kid) => *kid,
        }
    }

    fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        match self {
            Self::Es256(key) => encode_public(label::ES256, &key.to_point(), sink),
            Self::Agreement(key) => encode_public(label::ECDH_ES_HKDF_256, &key.to_point(), sink),
            Self::Hmac256(kid) => encode_shared(label::HMAC_256, *kid, sink),
            Self::A256Gcm(kid) => encode_shared(label::A256GCM, *kid, sink),
            Self::Tombstone(kid) => {
                sink.map(1)?;
                sink.int(2)?;
                sink.bytes(kid.as_bytes())
            }
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match decoder.map(5)? {
            5 => {
                if (decoder.int()?, decoder.int()?, decoder.int()?)
                    != (label::KEY_KTY, label::KTY_EC2, label::KEY_ALG)
                {
                    return Err(DecodeError);
                }
                let algorithm = decoder.int()?;
                if (decoder.int()?, decoder.int()?, decoder.int()?)
                    != (label::KEY_CRV, label::CRV_P256, label::KEY_X)
                {
                    return Err(DecodeError);
                }
                let x = decoder.bytes_exact()?;
                if decoder.int()? != label::KEY_Y {
                    return Err(DecodeError);
                }
                let point = point(x, decoder.bytes_exact()?);
                match algorithm {
                    label::ES256 => VerifyingKey::from_point(&point).map(Self::Es256),
                    label::ECDH_ES_HKDF_256 => AgreementPublicKey::from_point(&point).map(Self::Agreement),
                    _ => return Err(DecodeError),
                }
                .map_err(|_| DecodeError)
            }
            3 => {
                if (decoder.int()?, decoder.int()?) != (label::KEY_KTY, label::KTY_SYMMETRIC) {
                    return Err(DecodeError);
                }
                let kid = decode_kid(decoder)?;
                match (decoder.int()?, decoder.int()?) {
                    (label::KEY_ALG, label::HMAC_256) => Ok(Self::Hmac256(kid)),
                    (label::KEY_ALG, label::A256GCM) => Ok(Self::A256Gcm(kid)),
                    _ => Err(DecodeError),
                }
            }
            1 => decode_kid(decoder).map(Self::Tombstone),
            _ => Err(DecodeError),
        }
    }
}

fn decode_kid(decoder: &mut Decoder<'_>) -> Result<KeyId, DecodeError> {
    if decoder.int()? != label::KEY_KID {
        return Err(DecodeError);
    }
    decoder.bytes_exact().copied().map(KeyId::from_bytes)
}

fn encode_public(algorithm: i64, point: &[u8; POINT_LEN], sink: &mut impl Sink) -> Result<(), SinkError> {
    let (x, y) = coordinates(point);
    sink.map(5)?;
    for pair in
        [(label::KEY_KTY, label::KTY_EC2), (label::KEY_ALG, algorithm), (label::KEY_CRV, label::CRV_P256)]
    {
        sink.int(pair.0)?;
        sink.int(pair.1)?;
    }
    sink.int(label::KEY_X)?;
    sink.bytes(x)?;
    sink.int(label::KEY_Y)?;
    sink.bytes(y)
}

fn encode_shared(algorithm: i64, kid: KeyId, sink: &mut impl Sink) -> Result<(), SinkError> {
    sink.map(3)?;
    sink.int(label::KEY_KTY)?;
    sink.int(label::KTY_SYMMETRIC)?;
    sink.int(label::KEY_KID)?;
    sink.bytes(kid.as_bytes())?;
    sink.int(label::KEY_ALG)?;
    sink.int(algorithm)
}
