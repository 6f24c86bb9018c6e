//! Direct access to the library, as by other programs.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session as RawSession, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use taskseal_core::KeyId;
use taskseal_core::keys::VerifyingKey;

use super::{Fixture, LABEL, PIN, SO_PIN};

impl Fixture {
    /// Returns the library and the slot of the token with [`LABEL`].
    pub(crate) fn raw(&self) -> (Pkcs11, Slot) {
        let pkcs11 = Pkcs11::new(&self.module).unwrap();
        // Fails if the library is initialised already in this process.
        let _ = pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slots = pkcs11.get_slots_with_token().unwrap();
        let labelled = |slot: &Slot| pkcs11.get_token_info(*slot).is_ok_and(|info| info.label() == LABEL);
        let slot = slots.into_iter().find(labelled).unwrap();
        (pkcs11, slot)
    }

    /// Opens a read-write session and logs in.
    pub(crate) fn raw_session(&self) -> RawSession {
        let (pkcs11, slot) = self.raw();
        let session = pkcs11.open_rw_session(slot).unwrap();
        // Fails if another component of this process is logged in.
        let _ = session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned())));
        session
    }
}

/// Initialises a second token with any label.
pub(crate) fn init_second_token(fixture: &Fixture, label: &str) {
    let (pkcs11, _) = fixture.raw();
    let slots = pkcs11.get_slots_with_token().unwrap();
    let empty =
        slots.into_iter().find(|slot| !pkcs11.get_token_info(*slot).unwrap().token_initialized()).unwrap();
    pkcs11.init_token(empty, &AuthPin::from(SO_PIN.to_owned()), label).unwrap();
    let session = pkcs11.open_rw_session(empty).unwrap();
    session.login(UserType::So, Some(&AuthPin::from(SO_PIN.to_owned()))).unwrap();
    session.init_pin(&AuthPin::from("99999999".to_owned())).unwrap();
}

/// Imports an HMAC key that exists outside the token too.
pub(crate) fn import_mac_key(fixture: &Fixture, kid: KeyId, secret: &[u8; 32]) {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Verify(true),
        // Some tokens allow what a template omits.
        Attribute::Derive(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Id(kid.as_bytes().to_vec()),
        Attribute::Label("shared".into()),
        Attribute::Value(secret.to_vec()),
    ];
    fixture.raw_session().create_object(&template).unwrap();
}

/// Generates a key pair. `private` overrides the default attributes of the private half.
pub(crate) fn make_pair(
    session: &RawSession,
    id: &[u8],
    label: &str,
    private: &[Attribute],
) -> [ObjectHandle; 2] {
    let common = [Attribute::Token(true), Attribute::Id(id.to_vec()), Attribute::Label(label.into())];
    let curve = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let mut public = common.to_vec();
    if !private.iter().any(|attribute| matches!(attribute, Attribute::EcParams(_))) {
        public.push(Attribute::EcParams(curve.to_vec()));
    }
    let mut template = common.to_vec();
    let default = [
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Derive(false),
        // Some tokens allow what a template omits.
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::SignRecover(false),
    ];
    template.extend(
        default.into_iter().filter(|default| {
            !private.iter().any(|other| other.attribute_type() == default.attribute_type())
        }),
    );
    for attribute in private {
        match attribute {
            Attribute::EcParams(_) => public.push(attribute.clone()),
            _ => template.push(attribute.clone()),
        }
    }
    let (public, private) = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &template).unwrap();
    [public, private]
}

/// Sets the id of both halves to the kid.
pub(crate) fn name_by_kid(session: &RawSession, pair: [ObjectHandle; 2]) -> KeyId {
    let found = session.get_attributes(pair[0], &[AttributeType::EcPoint]).unwrap();
    let [Attribute::EcPoint(der)] = found.as_slice() else { panic!("the object has no point") };
    let point: [u8; 65] = der[2..].try_into().unwrap();
    let kid = VerifyingKey::from_point(&point).unwrap().kid();
    for half in pair {
        session.update_attributes(half, &[Attribute::Id(kid.as_bytes().to_vec())]).unwrap();
    }
    kid
}
