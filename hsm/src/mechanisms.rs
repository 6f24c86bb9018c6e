//! What a token says it can do.

use crate::error::Error;
use crate::pool::worker::{Objects, Repeat};
use crate::token::Token;

impl Token {
    /// The names of the mechanisms that the token lists, as `CKM_ECDSA`, in order. What it really does with a key shows when
    /// the key is [loaded](crate::EcKey::load).
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is away; otherwise [`Error`].
    pub fn mechanisms(&self) -> Result<Vec<String>, Error> {
        self.run(Repeat::Yes, Objects::Untouched, |bench| {
            let listed = bench.shared.module.pkcs11().get_mechanism_list(bench.footing.slot)?;
            let mut names: Vec<_> = listed.iter().map(ToString::to_string).collect();
            names.sort();
            names.dedup();
            Ok(names)
        })
    }

    /// How the library describes the token.
    ///
    /// # Errors
    /// [`Error::Transient`] while the token is away; otherwise [`Error`].
    pub fn description(&self) -> Result<crate::TokenDescription, Error> {
        self.run(Repeat::Yes, Objects::Untouched, |bench| {
            let info = bench.shared.module.pkcs11().get_token_info(bench.footing.slot)?;
            Ok(crate::TokenDescription::of(&info))
        })
    }
}
