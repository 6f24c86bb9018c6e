//! Finds keys by id and label.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use taskseal_core::KeyId;

use crate::error::{Error, Failure};
use crate::pool::session::Session;
use crate::uri::{KeyClass, KeyUri};

/// The id of a key (its kid), its label, or both, which must then both match. A selector made from a URI also has the
/// URI's `type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySelector {
    id: Option<Vec<u8>>,
    label: Option<String>,
    class: Option<KeyClass>,
}

impl KeySelector {
    /// Creates a selector for the key with this kid (`CKA_ID`).
    #[must_use]
    pub fn kid(kid: KeyId) -> Self {
        Self::id(kid.as_bytes().to_vec())
    }

    /// Creates a selector for the key with this label (`CKA_LABEL`).
    #[must_use]
    pub fn label(label: impl Into<String>) -> Self {
        Self { id: None, label: Some(label.into()), class: None }
    }

    pub(crate) const fn id(id: Vec<u8>) -> Self {
        Self { id: Some(id), label: None, class: None }
    }

    /// Returns the only object of this class that matches.
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
        let requested = match self.class {
            Some(KeyClass::Private | KeyClass::Public) => class == ObjectClass::PRIVATE_KEY,
            Some(KeyClass::Secret) => class == ObjectClass::SECRET_KEY,
            None => true,
        };
        if !requested {
            return Ok(Vec::new());
        }
        let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
        template.extend(self.id.clone().map(Attribute::Id));
        template.extend(self.label.clone().map(|label| Attribute::Label(label.into_bytes())));
        let mut found = Vec::new();
        for handle in session.find_objects(&template)? {
            // Not every library compares both attributes.
            if self.matches(session, handle)? {
                found.push(handle);
            }
        }
        Ok(found)
    }

    fn matches(&self, session: &Session, handle: ObjectHandle) -> Result<bool, Failure> {
        let attributes = session.get_attributes(handle, &[AttributeType::Id, AttributeType::Label])?;
        Ok(attributes.into_iter().all(|attribute| match attribute {
            Attribute::Id(id) => self.id.as_ref().is_none_or(|wanted| *wanted == id),
            Attribute::Label(label) => self.label.as_ref().is_none_or(|wanted| wanted.as_bytes() == label),
            _ => true,
        }))
    }
}

impl From<&KeyUri> for KeySelector {
    fn from(uri: &KeyUri) -> Self {
        Self { id: uri.id().map(<[u8]>::to_vec), label: uri.object().map(str::to_owned), class: uri.class() }
    }
}
