//! Finds a token by what it is called. Slot numbers change, so they are not used.

use cryptoki::slot::{Slot, TokenInfo};

use crate::error::Error;
use crate::module::Module;
use crate::uri::TokenUri;

/// The attributes of a URI that a token must match, all of them.
#[derive(Clone, Debug)]
pub(crate) struct TokenSelector {
    label: Option<String>,
    serial: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
}

impl TokenSelector {
    pub(crate) fn new(uri: &TokenUri) -> Self {
        Self {
            label: uri.label().map(str::to_owned),
            serial: uri.serial().map(str::to_owned),
            manufacturer: uri.manufacturer().map(str::to_owned),
            model: uri.model().map(str::to_owned),
        }
    }

    /// Returns the only slot whose token matches, and the description of the token.
    ///
    /// A slot that cannot describe its token is skipped, so that one broken token does not affect the others.
    pub(crate) fn find(&self, module: &Module) -> Result<(Slot, TokenInfo), Error> {
        let mut found = Vec::new();
        for slot in module.pkcs11().get_slots_with_token()? {
            if let Ok(info) = module.token_info(slot)
                && info.token_initialized()
                && self.matches(&info)
            {
                found.push((slot, info));
            }
        }
        match found.len() {
            0 | 1 => found.pop().ok_or(Error::NoSuchToken),
            count => Err(Error::Ambiguous { what: "tokens", count }),
        }
    }

    fn matches(&self, info: &TokenInfo) -> bool {
        let same =
            |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|wanted| wanted == actual);
        same(&self.label, info.label())
            && same(&self.serial, info.serial_number())
            && same(&self.manufacturer, info.manufacturer_id())
            && same(&self.model, info.model())
    }
}
