//! The attributes of a key, and whether they restrict it to its use.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use taskseal_core::KeyId;

use super::selector::KeySelector;
use super::usage::Usage;
use crate::error::{Failure, KeyDefect, WrongUses};
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

    /// Checks that the token reports the `required` flags as true and the `unwanted` ones as false.
    fn check_uses(&self, required: &[AttributeType], unwanted: &[AttributeType]) -> Result<(), KeyDefect> {
        let mut wrong = WrongUses::default();
        for kind in required.iter().filter(|kind| !self.is(**kind)) {
            wrong.push(name(*kind), self.flag(*kind));
        }
        for kind in unwanted.iter().filter(|kind| self.flag(**kind) != Some(false)) {
            wrong.push(name(*kind), self.flag(*kind));
        }
        if wrong.is_empty() { Ok(()) } else { Err(KeyDefect::Usage(wrong)) }
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
        let mut others = vec![other, AttributeType::Decrypt, AttributeType::Unwrap];
        if self.is(AttributeType::SignRecover) {
            others.push(AttributeType::SignRecover);
        }
        self.check_uses(&[wanted], &others)?;
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
        self.check_uses(&[AttributeType::Sign], &others)?;
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
        self.check_uses(&[AttributeType::Wrap, AttributeType::Unwrap], &others)?;
        self.check_secrecy(allow_extractable)
    }

    fn check_secrecy(&self, allow_extractable: bool) -> Result<(), KeyDefect> {
        if !self.is(AttributeType::Private) {
            Err(KeyDefect::NotPrivate)
        } else if !self.is(AttributeType::Sensitive) {
            Err(KeyDefect::NotSensitive)
        } else if self.flag(AttributeType::Extractable) != Some(false) && !allow_extractable {
            Err(KeyDefect::Extractable)
        } else {
            Ok(())
        }
    }

    /// Returns the use of a private key; the error names the attributes if it has none or several.
    pub(crate) fn usage(&self) -> Result<Usage, KeyDefect> {
        match (self.is(AttributeType::Sign), self.is(AttributeType::Derive)) {
            (true, false) => Ok(Usage::Sign),
            (false, true) => Ok(Usage::Agree),
            _ => {
                let mut wrong = WrongUses::default();
                for kind in [AttributeType::Sign, AttributeType::Derive] {
                    wrong.push(name(kind), self.flag(kind));
                }
                Err(KeyDefect::Usage(wrong))
            }
        }
    }

    /// Returns whether the key was generated in the token and could never leave it.
    pub(crate) fn never_left(&self) -> bool {
        self.is(AttributeType::AlwaysSensitive) && self.is(AttributeType::NeverExtractable)
    }

    pub(crate) fn is_aes(&self) -> bool {
        self.key_type == Some(KeyType::AES)
    }

    /// Returns the id of the object, or its label if it has no id. Both halves of a pair have it.
    pub(crate) fn name(&self) -> KeySelector {
        if self.id.is_empty() {
            KeySelector::label(self.label.clone())
        } else {
            KeySelector::id(self.id.clone())
        }
    }

    /// Checks `CKA_ID` of a private key with this kid. An id of the length of a kid must be the kid, because it would be taken
    /// for that of another key; any other id belongs to the system that made the key.
    pub(crate) fn check_id(&self, kid: KeyId) -> Result<(), KeyDefect> {
        match self.kid() {
            Ok(id) if id != kid => Err(KeyDefect::Id),
            _ => Ok(()),
        }
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

/// Returns the name of a flag in the PKCS#11 standard.
const fn name(kind: AttributeType) -> &'static str {
    match kind {
        AttributeType::Sign => "CKA_SIGN",
        AttributeType::SignRecover => "CKA_SIGN_RECOVER",
        AttributeType::Derive => "CKA_DERIVE",
        AttributeType::Wrap => "CKA_WRAP",
        AttributeType::Unwrap => "CKA_UNWRAP",
        AttributeType::Encrypt => "CKA_ENCRYPT",
        AttributeType::Decrypt => "CKA_DECRYPT",
        _ => "an attribute",
    }
}

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

        let defect = read(&key).check_ec(Usage::Sign, false).unwrap_err();
        assert!(defect.to_string().ends_with(": CKA_SIGN_RECOVER is true"), "{defect}");
    }

    #[test]
    fn each_attribute_that_is_wrong_is_named() {
        let mut key = acceptable(KeyType::EC, &[AttributeType::Derive]);
        key.retain(|attribute| attribute.attribute_type() != AttributeType::Unwrap);
        key.iter_mut().for_each(|attribute| {
            if let Attribute::Decrypt(is) = attribute {
                *is = true;
            }
        });

        let defect = read(&key).check_ec(Usage::Sign, false).unwrap_err();

        let expected = "it is not restricted to the required use: CKA_SIGN is false, CKA_DERIVE is true, CKA_UNWRAP is not \
                        reported, CKA_DECRYPT is true";
        assert_eq!(defect.to_string(), expected);
    }

    #[test]
    fn only_an_id_of_the_length_of_a_kid_must_be_the_kid() {
        let with_id = |id: &[u8]| Attributes { id: id.to_vec(), ..Attributes::default() };
        let kid = KeyId::from_bytes(*b"12345678");

        assert_eq!(with_id(b"87654321").check_id(kid), Err(KeyDefect::Id));
        for id in [&b""[..], b"\x01", b"\x01\x02", b"12345678", &[7; 20]] {
            assert_eq!(with_id(id).check_id(kid), Ok(()));
        }
    }

    #[test]
    fn a_key_has_never_left_only_if_the_token_reports_both_attributes() {
        let never = [Attribute::NeverExtractable(true), Attribute::AlwaysSensitive(true)];

        assert!(read(&never).never_left());
        assert!(!read(&never[..1]).never_left());
        assert!(!read(&[Attribute::NeverExtractable(false), Attribute::AlwaysSensitive(true)]).never_left());
    }
}
