//! Tokens as their library describes them.

use cryptoki::slot::TokenInfo;

/// A token as its library describes it (`CK_TOKEN_INFO`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenDescription {
    /// Label, without padding.
    pub label: String,
    /// Serial number.
    pub serial: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Whether it has a label and a PIN of its security officer.
    pub initialized: bool,
    /// Whether it has a user PIN.
    pub pin_initialized: bool,
    /// Whether wrong PINs have been counted.
    pub pin_count_low: bool,
    /// Whether it accepts only one more PIN attempt.
    pub pin_final_try: bool,
    /// Whether it accepts no PIN attempt.
    pub pin_locked: bool,
}

impl TokenDescription {
    pub(crate) fn of(info: &TokenInfo) -> Self {
        Self {
            label: info.label().to_owned(),
            serial: info.serial_number().to_owned(),
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            initialized: info.token_initialized(),
            pin_initialized: info.user_pin_initialized(),
            pin_count_low: info.user_pin_count_low(),
            pin_final_try: info.user_pin_final_try(),
            pin_locked: info.user_pin_locked(),
        }
    }
}
