//! The identity of a token, which decides whether it is sent a PIN.

use cryptoki::slot::TokenInfo;

/// The identity that a token reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    manufacturer: String,
    model: String,
    serial: String,
    label: String,
}

impl Identity {
    pub(crate) fn of(info: &TokenInfo) -> Self {
        Self {
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            serial: info.serial_number().to_owned(),
            label: info.label().to_owned(),
        }
    }
}
