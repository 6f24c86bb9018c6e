//! Destroys keys.

use cryptoki::object::ObjectClass;

use super::attributes::Attributes;
use super::selector::KeySelector;
use crate::error::Error;
use crate::pool::operation::{ObjectAccess, Retry};
use crate::token::Token;

impl Token {
    /// Destroys a key, both halves of it. This cannot be undone.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Ambiguous`]; otherwise [`Error`].
    pub fn destroy_key(&self, selector: &KeySelector) -> Result<(), Error> {
        let selector = selector.clone();
        self.run(Retry::Forbidden, ObjectAccess::Modify, move |context| {
            let session = context.write_session()?;
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
}
