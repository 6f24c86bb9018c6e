//! Which token, which key: by what they are called, never by a number that changes.

use cryptoki::error::Error as Cryptoki;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::slot::{Slot, TokenInfo};
use taskseal_core::KeyId;

use crate::error::{Error, Failure, Fault};
use crate::module::Module;
use crate::pool::session::Session;
use crate::uri::{KeyClass, KeyUri, TokenUri};

/// What a token is called. Everything given must match.
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

    /// The one slot whose token matches, and what it says of itself.
    ///
    /// A slot that cannot say what is in it is passed over: other tokens must not suffer from it.
    pub(crate) fn find(&self, module: &Module) -> Result<(Slot, TokenInfo), Error> {
        let token = |error: &Cryptoki| Error::Token(Fault::new(error));
        let pkcs11 = module.pkcs11();
        let slots = pkcs11.get_slots_with_token().map_err(|error| token(&error))?;
        let mut found = Vec::new();
        for slot in slots {
            if let Ok(info) = pkcs11.get_token_info(slot)
                && info.token_initialized()
                && self.matches(&info)
            {
                found.push((slot, info));
            }
        }
        match found.len() {
            0 => Err(Error::NoSuchToken),
            1 => found.pop().ok_or(Error::NoSuchToken),
            count => Err(Error::Ambiguous { what: "tokens", count }),
        }
    }

    fn matches(&self, info: &TokenInfo) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        same(&self.label, info.label())
            && same(&self.serial, info.serial_number())
            && same(&self.manufacturer, info.manufacturer_id())
            && same(&self.model, info.model())
    }
}

/// What a key is called: by its kid, its label, or both, which must both match then. One made from a URI also has the
/// `type` that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySelector {
    id: Option<Vec<u8>>,
    label: Option<String>,
    class: Option<KeyClass>,
}

impl KeySelector {
    /// The key with this kid (`CKA_ID`).
    #[must_use]
    pub fn kid(kid: KeyId) -> Self {
        Self { id: Some(kid.as_bytes().to_vec()), label: None, class: None }
    }

    /// The key with this label (`CKA_LABEL`).
    #[must_use]
    pub fn label(label: impl Into<String>) -> Self {
        Self { id: None, label: Some(label.into()), class: None }
    }

    pub(crate) fn id(id: Vec<u8>) -> Self {
        Self { id: Some(id), label: None, class: None }
    }

    /// The one object of this class that matches.
    pub(crate) fn find(&self, session: &Session, class: ObjectClass) -> Result<ObjectHandle, Failure> {
        let found = self.find_all(session, class)?;
        match found.as_slice() {
            [] => Err(Error::NoSuchKey.into()),
            [one] => Ok(*one),
            more => Err(Error::Ambiguous { what: "keys", count: more.len() }.into()),
        }
    }

    pub(crate) fn find_all(
        &self,
        session: &Session,
        class: ObjectClass,
    ) -> Result<Vec<ObjectHandle>, Failure> {
        let named = match self.class {
            Some(KeyClass::Private) => class == ObjectClass::PRIVATE_KEY,
            Some(KeyClass::Secret) => class == ObjectClass::SECRET_KEY,
            None => true,
        };
        if !named {
            return Ok(Vec::new());
        }
        let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
        template.extend(self.id.clone().map(Attribute::Id));
        template.extend(self.label.clone().map(|label| Attribute::Label(label.into_bytes())));
        let mut found = session.find_objects(&template)?;
        // Not every library compares both: what it found is read again.
        let mut wrong = Vec::new();
        for handle in &found {
            for attribute in session.get_attributes(*handle, &[AttributeType::Id, AttributeType::Label])? {
                let matches = match attribute {
                    Attribute::Id(id) => self.id.as_ref().is_none_or(|wanted| *wanted == id),
                    Attribute::Label(label) => {
                        self.label.as_ref().is_none_or(|wanted| wanted.as_bytes() == label)
                    }
                    _ => true,
                };
                if !matches {
                    wrong.push(*handle);
                }
            }
        }
        found.retain(|handle| !wrong.contains(handle));
        Ok(found)
    }
}

impl From<&KeyUri> for KeySelector {
    fn from(uri: &KeyUri) -> Self {
        Self { id: uri.id().map(<[u8]>::to_vec), label: uri.object().map(str::to_owned), class: uri.class() }
    }
}
