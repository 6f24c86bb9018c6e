//! Provides the PIN at every login, because recovery logs in again.

use std::sync::Mutex;

use super::pin::{Pin, PinError};
use super::pin_source::PinSource;
use crate::sync::lock;

/// Where the PIN of a token comes from at each login.
#[derive(Debug)]
pub(crate) enum PinKeeper {
    /// The PIN is read for each login, so that a changed PIN takes effect and none is kept in memory.
    Source(PinSource),
    /// The PIN was entered by a user or can be read only once, from a pipe, so it is kept in memory.
    Kept(Mutex<Option<Pin>>, Option<PinSource>),
    /// There is no PIN.
    None,
}

impl PinKeeper {
    pub(crate) fn new(given: Option<Pin>, source: Option<PinSource>) -> Self {
        match (given, source) {
            (Some(pin), _) => Self::Kept(Mutex::new(Some(pin)), None),
            (None, Some(source @ PinSource::Descriptor(_))) => Self::Kept(Mutex::new(None), Some(source)),
            (None, Some(source)) => Self::Source(source),
            (None, None) => Self::None,
        }
    }

    /// Calls `login` with the PIN.
    pub(crate) fn with_pin<R>(&self, login: impl FnOnce(&Pin) -> R) -> Result<R, PinError> {
        match self {
            Self::Source(source) => Pin::read(source).map(|pin| login(&pin)),
            Self::Kept(kept, source) => {
                let mut kept = lock(kept);
                if kept.is_none() {
                    *kept = Some(Pin::read(source.as_ref().ok_or(PinError::NoSource)?)?);
                }
                kept.as_ref().map(login).ok_or(PinError::NoSource)
            }
            Self::None => Err(PinError::NoSource),
        }
    }

    pub(crate) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}
