//! The attributes of a key, and whether they restrict it to its use.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use taskseal_core::KeyId;

use super::usage::Usage;
use crate::error::{Failure, KeyDefect};
use crate::pool::session::Session;

/// The attributes that decide whether a key is accepted. An attribute that the token does not report counts as the
/// unfavourable value, which depends on the check.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) id: Vec<u8>,
    pub(crate) label: String,
    key_type: Option<KeyType>,
    parameters: Vec<u8>,
    value_len: Option<u64>,
    flags: Vec<(AttributeType, bool)>,
}

impl Attributes {
    pub(crate) fn read(session: &Session, handle: ObjectHandle) -> Result<Self, Failure> {
        let mut attributes = Self::default();
        for attribute in session.get_attributes(handle, &READ)? {
            attributes.take(attribute);
        }
        Ok(attributes)
    }

    fn take(&mut self, attribute: Attribute) {
        let kind = attribute.attribute_type();
        match attribute {
            Attribute::Id(id) => self.id = id,
            Attribute::Label(label) => self.label = String::from_utf8_lossy(&label).into_owned(),
            Attribute::KeyType(key_type) => self.key_type = Some(key_type),
            Attribute::EcParams(parameters) => self.parameters = parameters,
            Attribute::ValueLen(len) => self.value_len = u64::try_from(usize::from(len)).ok(),
            Attribute::Private(is)
            | Attribute::Sensitive(is)
            | Attribute::AlwaysSensitive(is)
            | Attribute::Extractable(is)
            | Attribute::NeverExtractable(is)
            | Attribute::Sign(is)
            | Attribute::SignRecover(is)
            | Attribute::Derive(is)
            | Attribute::Wrap(is)
            | Attribute::Unwrap(is)
            | Attribute::Encrypt(is)
            | Attribute::Decrypt(is)
            | Attribute::AlwaysAuthenticate(is) => self.flags.push((kind, is)),
            _ => {}
        }
    }

    /// Returns the value of a flag; `None` if the token does not report it.
    fn flag(&self, wanted: AttributeType) -> Option<bool> {
        self.flags.iter().find(|(kind, _)| *kind == wanted).map(|(_, is)| *is)
    }

    /// Returns whether the token reports the flag as true.
    fn is(&self, wanted: AttributeType) -> bool {
        self.flag(wanted) == Some(true)
    }

    /// Returns whether the token reports all of the flags as false.
    fn is_none_of(&self, unwanted: &[AttributeType]) -> bool {
        unwanted.iter().all(|kind| self.flag(*kind) == Some(false))
    }

    /// Checks that this is the private half of a P-256 key that is restricted to this use.
    pub(crate) fn check_ec(&self, usage: Usage, allow_extractable: bool) -> Result<(), KeyDefect> {
        if self.key_type != Some(KeyType::EC) || self.parameters != P256 {
            return Err(KeyDefect::Type);
        }
        let (wanted, other) = match usage {
            Usage::Sign => (AttributeType::Sign, AttributeType::Derive),
            Usage::Agree => (AttributeType::Derive, AttributeType::Sign),
        };
        // Unwrapping with CKM_ECDH_AES_KEY_WRAP includes a key agreement. EC keys have no mechanism that signs with
        // recovery, so tokens may omit CKA_SIGN_RECOVER; every private key has the other two attributes.
        let others = [other, AttributeType::Decrypt, AttributeType::Unwrap];
        if !self.is(wanted) || !self.is_none_of(&others) || self.is(AttributeType::SignRecover) {
            return Err(KeyDefect::Usage);
        }
        // Tokens that do not support the attribute have no such keys.
        if self.is(AttributeType::AlwaysAuthenticate) {
            return Err(KeyDefect::AlwaysAuthenticate);
        }
        self.check_secrecy(allow_extractable)
    }

    /// Checks that this is a key of 32 bytes that is restricted to HMAC-SHA256.
    pub(crate) fn check_mac(&self, allow_extractable: bool) -> Result<(), KeyDefect> {
        let types = [KeyType::GENERIC_SECRET, KeyType::SHA256_HMAC];
        if !self.key_type.is_some_and(|is| types.contains(&is)) || self.value_len != Some(32) {
            return Err(KeyDefect::Type);
        }
        let others = [
            AttributeType::Derive,
            AttributeType::Wrap,
            AttributeType::Unwrap,
            AttributeType::Encrypt,
            AttributeType::Decrypt,
        ];
        if !self.is(AttributeType::Sign) || !self.is_none_of(&others) {
            return Err(KeyDefect::Usage);
        }
        self.check_secrecy(allow_extractable)
    }

    /// Checks that this is an AES-256 key that is restricted to wrapping and unwrapping keys.
    pub(crate) fn check_wrapping(&self, allow_extractable: bool) -> Result<(), KeyDefect> {
        if self.key_type != Some(KeyType::AES) || self.value_len != Some(32) {
            return Err(KeyDefect::Type);
        }
        // A key that decrypts reveals the keys that it wrapped.
        let others =
            [AttributeType::Encrypt, AttributeType::Decrypt, AttributeType::Derive, AttributeType::Sign];
        if !self.is(AttributeType::Wrap) || !self.is(AttributeType::Unwrap) || !self.is_none_of(&others) {
            return Err(KeyDefect::Usage);
        }
        self.check_secrecy(allow_extractable)
    }

    fn check_secrecy(&self, allow_extractable: bool) -> Result<(), KeyDefect> {
        if !self.is(AttributeType::Private) {
            Err(KeyDefect::NotPrivate)
        } else if !self.is(AttributeType::Sensitive) {
            Err(KeyDefect::NotSensitive)
        } else if !self.is_none_of(&[AttributeType::Extractable]) && !allow_extractable {
            Err(KeyDefect::Extractable)
        } else {
            Ok(())
        }
    }

    /// Returns the use of a private key; `None` if it has none or several.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match (self.is(AttributeType::Sign), self.is(AttributeType::Derive)) {
            (true, false) => Some(Usage::Sign),
            (false, true) => Some(Usage::Agree),
            _ => None,
        }
    }

    /// Returns whether the key was generated in the token and could never leave it.
    pub(crate) fn never_left(&self) -> bool {
        self.is(AttributeType::AlwaysSensitive) && self.is(AttributeType::NeverExtractable)
    }

    pub(crate) fn is_aes(&self) -> bool {
        self.key_type == Some(KeyType::AES)
    }

    /// Returns `CKA_ID` as a kid.
    pub(crate) fn kid(&self) -> Result<KeyId, KeyDefect> {
        let id: [u8; KeyId::LEN] = self.id.as_slice().try_into().map_err(|_| KeyDefect::Id)?;
        Ok(KeyId::from_bytes(id))
    }
}

const READ: [AttributeType; 18] = [
    AttributeType::Id,
    AttributeType::Label,
    AttributeType::KeyType,
    AttributeType::EcParams,
    AttributeType::ValueLen,
    AttributeType::Private,
    AttributeType::Sensitive,
    AttributeType::AlwaysSensitive,
    AttributeType::Extractable,
    AttributeType::NeverExtractable,
    AttributeType::Sign,
    AttributeType::SignRecover,
    AttributeType::Derive,
    AttributeType::Wrap,
    AttributeType::Unwrap,
    AttributeType::Encrypt,
    AttributeType::Decrypt,
    AttributeType::AlwaysAuthenticate,
];

/// The object identifier of P-256 (RFC 5480 section 2.1.1.1), in DER.
pub(crate) const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the attributes of an acceptable key, with every flag that is read.
    fn acceptable(key_type: KeyType, allowed: &[AttributeType]) -> Vec<Attribute> {
        let is = |kind| allowed.contains(&kind);
        vec![
            Attribute::KeyType(key_type),
            Attribute::EcParams(P256.to_vec()),
            Attribute::ValueLen(32.into()),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(is(AttributeType::Sign)),
            Attribute::Derive(is(AttributeType::Derive)),
            Attribute::Wrap(is(AttributeType::Wrap)),
            Attribute::Unwrap(is(AttributeType::Unwrap)),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
        ]
    }

    fn read(attributes: &[Attribute]) -> Attributes {
        let mut all = Attributes::default();
        attributes.iter().for_each(|attribute| all.take(attribute.clone()));
        all
    }

    /// Omits each attribute in turn, except those that this kind of key does not have.
    #[track_caller]
    fn assert_all_required(
        acceptable: &[Attribute],
        except: &[AttributeType],
        check: impl Fn(&Attributes) -> Result<(), KeyDefect>,
    ) {
        assert_eq!(check(&read(acceptable)), Ok(()));
        for missing in acceptable.iter().map(Attribute::attribute_type).filter(|kind| !except.contains(kind))
        {
            let rest: Vec<_> = acceptable
                .iter()
                .filter(|attribute| attribute.attribute_type() != missing)
                .cloned()
                .collect();
            assert!(check(&read(&rest)).is_err(), "{missing:?} is missing");
        }
    }

    #[test]
    fn an_attribute_that_the_token_omits_counts_as_the_unfavourable_value() {
        use AttributeType::{Derive, EcParams, Encrypt, Sign, Unwrap, ValueLen, Wrap};
        for (usage, flag) in [(Usage::Sign, Sign), (Usage::Agree, Derive)] {
            // Private keys do not have these attributes.
            let except = [Encrypt, Wrap, ValueLen];
            assert_all_required(&acceptable(KeyType::EC, &[flag]), &except, |key| key.check_ec(usage, false));
        }
        let mac = acceptable(KeyType::GENERIC_SECRET, &[Sign]);
        assert_all_required(&mac, &[EcParams], |key| key.check_mac(false));
        let wrapping = acceptable(KeyType::AES, &[Wrap, Unwrap]);
        assert_all_required(&wrapping, &[EcParams], |key| key.check_wrapping(false));
    }

    #[test]
    fn a_key_that_signs_with_recovery_is_rejected() {
        let mut key = acceptable(KeyType::EC, &[AttributeType::Sign]);
        key.push(Attribute::SignRecover(true));

        assert_eq!(read(&key).check_ec(Usage::Sign, false), Err(KeyDefect::Usage));
    }

    #[test]
    fn a_key_has_never_left_only_if_the_token_reports_both_attributes() {
        let never = [Attribute::NeverExtractable(true), Attribute::AlwaysSensitive(true)];

        assert!(read(&never).never_left());
        assert!(!read(&never[..1]).never_left());
        assert!(!read(&[Attribute::NeverExtractable(false), Attribute::AlwaysSensitive(true)]).never_left());
    }
}
