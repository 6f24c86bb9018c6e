//! Secrets on their way into a token and out of it: PINs, wrapped keys, what a key in a token agreed on.

use std::hint::black_box;
use std::path::PathBuf;

use taskseal::keys::{KeyStores, Keyring, SecretKey};
use taskseal_core::keys::AgreementKey;
use taskseal_core::keyset::DecryptionKeys;
use taskseal_core::provider::{Provider, Software};
use taskseal_core::{Agree, Secret, Suite};
use taskseal_hsm::{
    EcKey, KeySelector, KeyUri, Module, Pin, PinSource, Settings, Token, TokenUri, Usage, WRAPPED_LEN,
    WrappingKey,
};
use taskseal_tests::process_memory::{Needle, Waiting, deep, wait_to_be_read};
use taskseal_tests::token::{Fixture, LABEL, SO_PIN};

use super::deployment::{self, KEYS, Kept};
use super::forms::{of_armour, of_secret};
use super::work::Case;

/// Characters of the PIN. SoftHSM takes up to 255.
const PIN_LEN: usize = 48;
/// Name of the key that agrees.
const READER: &str = "reader";
/// Name of the key that wraps.
const KEK: &str = "kek";

/// A token whose PIN is in a file, with a key that agrees and one that wraps.
pub(crate) struct Plant<'f>(pub(crate) &'f Fixture);

impl Plant<'_> {
    /// Makes the token and its keys, and returns the PIN.
    pub(crate) fn make(&self) -> String {
        let mut random = [0; PIN_LEN];
        getrandom::fill(&mut random).unwrap();
        let pin: String = random.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        let module = Module::load(&self.0.module).unwrap();
        module.init_token(LABEL, &Pin::new(SO_PIN).unwrap(), &Pin::new(&pin).unwrap()).unwrap();
        taskseal::file_security::create(&self.pin_file(), format!("{pin}\n").as_bytes()).unwrap();
        let token = self.open();
        EcKey::generate(&token, Usage::Agree, READER).unwrap();
        WrappingKey::generate(&token, KEK).unwrap();
        pin
    }

    fn pin_file(&self) -> PathBuf {
        self.0.folder.join("pin")
    }

    fn uri(&self) -> TokenUri {
        TokenUri::parse(&format!("pkcs11:token={LABEL}"))
            .unwrap()
            .with_module_path(&self.0.module)
            .with_pin_source(PinSource::File(self.pin_file()))
    }

    fn key(&self, label: &str) -> KeyUri {
        let (module, pin) = (self.0.module.display(), self.pin_file());
        let pin = pin.display();
        let uri = format!("pkcs11:token={LABEL};object={label}?module-path={module}&pin-source=file:{pin}");
        KeyUri::parse(&uri).unwrap()
    }

    pub(crate) fn open(&self) -> Token {
        Token::open(&self.uri(), Settings::new()).unwrap()
    }

    /// A process that plays this role and waits.
    pub(crate) fn start(&self, role: &str) -> Waiting {
        let source = format!("file:{}", self.pin_file().display());
        let environment = [
            ("TASKSEAL_PKCS11_MODULE", self.0.module.as_os_str()),
            ("TASKSEAL_PKCS11_PIN_SOURCE", source.as_ref()),
        ];
        Waiting::of(self.0.start_with(role, &environment), &self.0.folder)
    }

    /// Makes the keys of a deployment in the token, as far as they are not shared.
    pub(crate) fn deploy(&self) {
        let (module, pin) = (self.0.module.display(), self.pin_file());
        let before = format!("pkcs11:token={LABEL};object=");
        let after = format!("?module-path={module}&pin-source=file:{}", pin.display());
        deployment::make(&self.0.folder, Kept::InToken(&self.open(), [&before, &after]));
    }

    fn wrapped_file(&self, name: &str) -> PathBuf {
        self.0.folder.join(format!("{name}.key"))
    }

    /// What is in the wrapped files: the secrets and their text, and the keys that encrypt them.
    pub(crate) fn in_wrapped_files(&self) -> Vec<Needle> {
        let token = self.open();
        let kek = WrappingKey::load(&token, &KeySelector::from(&self.key(KEK))).unwrap();
        KEYS.iter().flat_map(|(name, ..)| self.in_wrapped_file(name, &kek)).collect()
    }

    fn in_wrapped_file(&self, name: &str, kek: &WrappingKey) -> Vec<Needle> {
        let file = std::fs::read(self.wrapped_file(name)).unwrap();
        let (_, content) = pem_rfc7468::decode_vec(&file).unwrap();
        // The header: version, length and name of the wrapping key, the wrapped file key, the nonce.
        let name_len = usize::from(u16::from_be_bytes([content[1], content[2]]));
        let (header, rest) = content.split_at(3 + name_len + WRAPPED_LEN + 12);
        let (wrapped, iv) = header[3 + name_len..].split_at(WRAPPED_LEN);
        let (ciphertext, tag) = rest.split_last_chunk::<16>().unwrap();
        let file_key = kek.unwrap(wrapped.try_into().unwrap()).unwrap();
        let mut cose_key = ciphertext.to_vec();
        let iv = iv.try_into().unwrap();
        Software.decrypt_a256gcm(&file_key, iv, &[header], &mut cose_key, tag).unwrap();
        let secret = cose_key.last_chunk::<32>().unwrap();
        let mut needles = of_secret(name, secret);
        needles.extend(of_secret("file key", file_key.as_bytes()));
        let armour = pem_rfc7468::encode_string("X", pem_rfc7468::LineEnding::LF, &cose_key).unwrap();
        needles.extend(of_armour(name, armour.as_bytes(), 32));
        needles
    }

    /// What the reader's key agrees on with [`peer`].
    pub(crate) fn agreed(&self) -> Vec<Needle> {
        let token = self.open();
        let reader = EcKey::load(&token, &KeySelector::from(&self.key(READER)), Usage::Agree).unwrap();
        let Ok(z) = (&peer()).agree(&reader.agreement_key().unwrap());
        of_secret("agreed secret", z.as_bytes())
    }
}

fn peer() -> AgreementKey {
    AgreementKey::from_scalar(&Secret::copy_from(&[7; 32])).unwrap()
}

/// In a separate process.
pub(crate) fn play(fixture: &Fixture, role: &str) {
    let plant = Plant(fixture);
    let wait = || wait_to_be_read(&fixture.folder);
    match role {
        "login" => {
            let token = deep(|| plant.open());
            wait();
            deep(|| drop(token));
        }
        "login with a given pin" => {
            let token = deep(|| {
                let settings = Settings::new().pin(Pin::read(&PinSource::File(plant.pin_file())).unwrap());
                Token::open(&plant.uri(), settings).unwrap()
            });
            wait();
            deep(|| drop(token));
        }
        "make wrapped files" => {
            deep(|| deployment::make(&fixture.folder, Kept::Wrapped(&plant.key(KEK))));
            wait();
            deep(taskseal::keys::pkcs11::close);
        }
        "read wrapped files" => {
            let keys = deep(|| KEYS.map(|(name, ..)| SecretKey::read(&plant.wrapped_file(name)).unwrap()));
            wait();
            deep(|| drop(keys));
            wait();
            deep(taskseal::keys::pkcs11::close);
        }
        "work" => {
            // Waits once by itself, with the token open.
            Case::Works(Suite::Sp).run(&fixture.folder);
            deep(taskseal::keys::pkcs11::close);
        }
        "agree" => deep(|| agree(&plant)),
        other => panic!("unknown role {other}"),
    }
    wait();
}

fn agree(plant: &Plant<'_>) {
    let folder = &plant.0.folder;
    std::fs::write(folder.join("keyset.toml"), "").unwrap();
    let public = peer().public_key();
    let reader = KeyStores::default().parse(&plant.key(READER).to_string(), folder).unwrap();
    let keyring = Keyring::load(&folder.join("keyset.toml")).unwrap();
    let keyring = keyring.with_decryption_keys([reader]).unwrap();
    let kid = keyring.decryption_kids()[0];
    let mut keys = keyring.opening();
    deep(|| {
        black_box(keys.agreement_key(kid).unwrap().agree(&public).unwrap());
    });
    // As the core does, which asks the key: it overwrites the frames below its own.
    deep(|| {
        black_box(&mut [0_u8; 16 << 10]);
    });
    // It is remembered for the verdict on the token.
    wait_to_be_read(folder);
    drop(keys);
    wait_to_be_read(folder);
    drop(keyring);
    taskseal::keys::pkcs11::close();
}
