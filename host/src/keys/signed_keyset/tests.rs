use std::fs;
use std::os::unix::fs::PermissionsExt;

use taskseal_core::keys::SigningKey;
use taskseal_core::keyset::signed::{
    Checkpoint, Entry, KeyState, KeysetDraft, MAX_ENTRIES, Role, UnverifiedKeyset,
};
use taskseal_core::{NameSet, Secret};

use super::*;

mod carriers;
mod history;
mod keys;
mod refusals;

/// The time at which the first keyset is issued, and the lifetime of each.
const ISSUED: u64 = 1_763_751_000;
const LIFETIME: u64 = 30 * 86_400;

/// The root and the host of one deployment.
struct Deployment {
    folder: tempfile::TempDir,
}

/// A process that starts.
const RECORDED: LoadMode = LoadMode::new(Recording::Durable, SharedKeys::Required);

/// The number of the root.
const ROOT: u8 = 1;

fn key(number: u8) -> SigningKey {
    SigningKey::from_scalar(&Secret::copy_from(&[number; 32])).unwrap()
}

/// The entry of the producer with this number.
fn producer(number: u8) -> Entry<'static> {
    let rights = Role::new().issuers(NameSet::new("shop")).types(NameSet::new("*"));
    let rights = rights.audiences(NameSet::new("prod/*"));
    Entry::new(EntryKey::Es256(key(number).verifying_key()), KeyState::Primary).role(rights)
}

impl Deployment {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self) -> SignedKeyset {
        self.trusting(&[ROOT])
    }

    fn trusting(&self, roots: &[u8]) -> SignedKeyset {
        let roots = roots.iter().map(|root| key(*root).verifying_key()).collect();
        SignedKeyset::new(self.path("keyset.cose"), "prod", roots, self.path("state")).unwrap()
    }

    fn write(&self, keyset: &[u8]) {
        fs::write(self.path("keyset.cose"), keyset).unwrap();
    }

    fn load_at(&self, now: u64) -> Result<Loaded, KeyringError> {
        self.settings().load(&KeyStores::default(), None, RECORDED, now)
    }

    fn load(&self) -> Result<Loaded, KeyringError> {
        self.load_at(ISSUED)
    }

    /// Loads the keyset with a second carrier that returns `content`.
    fn load_with(&self, content: Result<Vec<u8>, &str>) -> Result<Loaded, KeyringError> {
        let content = content.map_err(str::to_owned);
        let fetched = Fetched { origin: "carrier".to_owned(), content };
        self.settings().load(&KeyStores::default(), Some(fetched), RECORDED, ISSUED)
    }

    /// Returns the error of the keyset in the file.
    fn error(&self) -> KeysetError {
        error(self.load())
    }
}

/// Signs a keyset called `name` with the producer `number` that follows `last`.
fn sign_as(root: u8, name: &str, last: Option<&Checkpoint>, number: u8) -> Vec<u8> {
    let name = KeysetName::new(name).unwrap();
    let mut draft = match last {
        None => KeysetDraft::<4>::first(name, ISSUED, ISSUED + LIFETIME).unwrap(),
        Some(last) => KeysetDraft::after(last, name, ISSUED, ISSUED + LIFETIME).unwrap(),
    };
    draft.insert(producer(number)).unwrap();
    sign_draft(&draft, root)
}

fn sign_draft<const N: usize>(draft: &KeysetDraft<'_, N>, root: u8) -> Vec<u8> {
    let mut buffer = vec![0; draft.signed_len()];
    draft.sign(&mut key(root), &mut buffer).unwrap().to_vec()
}

/// Signs the keyset with this sequence number; each has the producer of its number.
fn sign(sequence: u8) -> Vec<u8> {
    let last = (sequence > 1).then(|| checkpoint_of(&sign(sequence - 1)));
    sign_as(ROOT, "prod", last.as_ref(), 100 + sequence)
}

fn checkpoint_of(keyset: &[u8]) -> Checkpoint {
    let roots = PinnedRoots::new(KeysetName::new("prod").unwrap(), key(ROOT).verifying_key());
    let keyset = UnverifiedKeyset::parse(keyset).unwrap();
    keyset.danger_verify_without_clock::<MAX_ENTRIES>(&roots, None).unwrap().checkpoint()
}

#[track_caller]
fn error(loaded: Result<Loaded, KeyringError>) -> KeysetError {
    match loaded.unwrap_err() {
        KeyringError::Keyset(error) => error,
        other => panic!("{other}"),
    }
}

#[track_caller]
fn assert_refused(error: &KeysetError, refusal: KeysetRefusal) {
    assert_eq!(error.kind, KeysetErrorKind::Refused(refusal), "{error}");
    assert!(error.to_string().ends_with(&format!("({})", refusal.code())), "{error}");
    assert!(!error.hint.is_empty());
}
