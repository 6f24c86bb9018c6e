//! The fencing tokens of one call.

use std::fmt::Write as _;

use crate::broker::{BrokerError, LeaseToken};

/// 128 random bits, the last 16 of which count up from task to task.
pub(super) struct Tokens {
    random: [u8; 16],
    /// The first 28 hex digits, which all tokens share.
    pub(super) first_digits: String,
    /// The last four hex digits of each token, concatenated: cheaper for the script than computing them.
    pub(super) last_digits: String,
    start: u16,
}

impl Tokens {
    pub(super) fn random(count: usize) -> Result<Self, BrokerError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| BrokerError::Unavailable(error.into()))?;
        let [.., high, low] = random;
        let mut first_digits = LeaseToken::from_bytes(random).to_hex();
        first_digits.truncate(28);
        let start = u16::from_be_bytes([high, low]);
        let mut last_digits = String::with_capacity(4 * count);
        for number in (0..=u16::MAX).take(count) {
            // Writing to a string cannot fail.
            let _ = write!(last_digits, "{:04x}", start.wrapping_add(number));
        }
        Ok(Self { random, first_digits, last_digits, start })
    }

    pub(super) fn nth(&self, number: u16) -> LeaseToken {
        let mut bytes = self.random;
        let [.., high, low] = &mut bytes;
        [*high, *low] = self.start.wrapping_add(number).to_be_bytes();
        LeaseToken::from_bytes(bytes)
    }
}
