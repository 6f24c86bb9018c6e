//! What a key in a token may do, and whether that is what it is meant for.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use taskseal_core::KeyId;

use crate::ec_key::Usage;
use crate::error::{Failure, KeyDefect};
use crate::module::Session;

/// The attributes that decide whether a key is used. What a token does not show counts as the worse value.
#[derive(Debug)]
pub(crate) struct Attributes {
    pub(crate) id: Vec<u8>,
    pub(crate) label: String,
    key_type: Option<KeyType>,
    parameters: Vec<u8>,
    value_len: Option<u64>,
    sensitive: bool,
    pub(crate) extractable: bool,
    sign: bool,
    derive: bool,
    wrap: bool,
    unwrap: bool,
    encrypt: bool,
    decrypt: bool,
    always_authenticate: bool,
}

impl Attributes {
    pub(crate) fn read(session: &Session, handle: ObjectHandle) -> Result<Self, Failure> {
        let mut attributes = Self {
            id: Vec::new(),
            label: String::new(),
            key_type: None,
            parameters: Vec::new(),
            value_len: None,
            sensitive: false,
            extractable: true,
            sign: false,
            derive: false,
            wrap: false,
            unwrap: false,
            encrypt: false,
            decrypt: false,
            always_authenticate: false,
        };
        for attribute in session.get_attributes(handle, &READ)? {
            match attribute {
                Attribute::Id(id) => attributes.id = id,
                Attribute::Label(label) => attributes.label = String::from_utf8_lossy(&label).into_owned(),
                Attribute::KeyType(key_type) => attributes.key_type = Some(key_type),
                Attribute::EcParams(parameters) => attributes.parameters = parameters,
                Attribute::ValueLen(len) => attributes.value_len = u64::try_from(usize::from(len)).ok(),
                Attribute::Sensitive(is) => attributes.sensitive = is,
                Attribute::Extractable(is) => attributes.extractable = is,
                Attribute::Sign(may) => attributes.sign = may,
                Attribute::Derive(may) => attributes.derive = may,
                Attribute::Wrap(may) => attributes.wrap = may,
                Attribute::Unwrap(may) => attributes.unwrap = may,
                Attribute::Encrypt(may) => attributes.encrypt = may,
                Attribute::Decrypt(may) => attributes.decrypt = may,
                Attribute::AlwaysAuthenticate(is) => attributes.always_authenticate = is,
                _ => {}
            }
        }
        Ok(attributes)
    }

    /// The private half of a P-256 key for this use and no other.
    pub(crate) fn check_ec(&self, usage: Usage, allow_extractable: bool) -> Result<(), KeyDefect> {
        if self.key_type != Some(KeyType::EC) || self.parameters != P256 {
            return Err(KeyDefect::Type);
        }
        let may = match usage {
            Usage::Sign => self.sign && !self.derive,
            Usage::Agree => self.derive && !self.sign,
        };
        if !may {
            return Err(KeyDefect::Usage);
        }
        if self.always_authenticate {
            return Err(KeyDefect::AlwaysAuthenticate);
        }
        self.check_secrecy(allow_extractable)
    }

    /// 32 bytes for HMAC-SHA256 and nothing else.
    pub(crate) fn check_mac(&self, allow_extractable: bool) -> Result<(), KeyDefect> {
        let types = [KeyType::GENERIC_SECRET, KeyType::SHA256_HMAC];
        if !self.key_type.is_some_and(|is| types.contains(&is)) || self.value_len != Some(32) {
            return Err(KeyDefect::Type);
        }
        if !self.sign || self.derive || self.wrap || self.unwrap || self.encrypt || self.decrypt {
            return Err(KeyDefect::Usage);
        }
        self.check_secrecy(allow_extractable)
    }

    /// AES-256 to wrap keys with and nothing else.
    pub(crate) fn check_wrapping(&self, allow_extractable: bool) -> Result<(), KeyDefect> {
        if self.key_type != Some(KeyType::AES) || self.value_len != Some(32) {
            return Err(KeyDefect::Type);
        }
        // One that decrypts gives away what it wrapped.
        if !self.wrap || !self.unwrap || self.encrypt || self.decrypt || self.derive || self.sign {
            return Err(KeyDefect::Usage);
        }
        self.check_secrecy(allow_extractable)
    }

    fn check_secrecy(&self, allow_extractable: bool) -> Result<(), KeyDefect> {
        if !self.sensitive {
            Err(KeyDefect::NotSensitive)
        } else if self.extractable && !allow_extractable {
            Err(KeyDefect::Extractable)
        } else {
            Ok(())
        }
    }

    /// What a private key is made for, as far as one can tell.
    pub(crate) const fn usage(&self) -> Option<Usage> {
        match (self.sign, self.derive) {
            (true, false) => Some(Usage::Sign),
            (false, true) => Some(Usage::Agree),
            _ => None,
        }
    }

    pub(crate) fn is_wrapping(&self) -> bool {
        self.key_type == Some(KeyType::AES)
    }

    /// `CKA_ID` as a kid.
    pub(crate) fn kid(&self) -> Result<KeyId, KeyDefect> {
        let id: [u8; KeyId::LEN] = self.id.as_slice().try_into().map_err(|_| KeyDefect::Id)?;
        Ok(KeyId::from_bytes(id))
    }
}

const READ: [AttributeType; 14] = [
    AttributeType::Id,
    AttributeType::Label,
    AttributeType::KeyType,
    AttributeType::EcParams,
    AttributeType::ValueLen,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::Sign,
    AttributeType::Derive,
    AttributeType::Wrap,
    AttributeType::Unwrap,
    AttributeType::Encrypt,
    AttributeType::Decrypt,
    AttributeType::AlwaysAuthenticate,
];

/// The object identifier of P-256 (RFC 5480 section 2.1.1.1), DER.
pub(crate) const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
