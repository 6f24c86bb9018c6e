//! A deployment whose four private keys are known to the test: in files, or in a token.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cryptoki::object::{Attribute, KeyType, ObjectClass};
use taskseal::config::Config;
use taskseal::keys::{Keyring, SealingKey};
use taskseal::quarantine::{Limits, Quarantine};
use taskseal::replay::SqliteLedger;
use taskseal::result::ResultSealer;
use taskseal::worker::WorkerParts;
use taskseal::{Client, QueueName, Task, Worker, WorkerSettings};
use taskseal_core::keys::{AgreementKey, AgreementPublicKey, SigningKey};
use taskseal_core::{KeyId, Kind, Secret};
use taskseal_tests::fleet::Ran;
use taskseal_tests::process_memory::Needle;
use taskseal_tests::token::{Fixture, LABEL};

/// The keys, and whether they sign or agree.
const KEYS: [(&str, bool); 4] = [("producer", true), ("worker", false), ("results", true), ("reader", false)];

/// Private keys that a test knows.
#[derive(Clone, Debug)]
pub(crate) struct Scalars([[u8; 32]; 4]);

pub(crate) fn fresh_scalars() -> Scalars {
    // The order of the curve begins with 32 bits of ones: a scalar is below it but once in 2^32.
    Scalars([(); 4].map(|()| {
        let mut scalar = [0; 32];
        getrandom::fill(&mut scalar).unwrap();
        scalar
    }))
}

impl Scalars {
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }

    /// Each key as written, and with the last byte first, as words of a number are kept.
    pub(crate) fn needles(&self) -> Vec<Needle> {
        let forms = |(scalar, (name, _)): (&[u8; 32], (&str, bool))| {
            let mut reversed = *scalar;
            reversed.reverse();
            [Needle::whole(name, scalar), Needle::whole(name, &reversed)]
        };
        self.0.iter().zip(KEYS).flat_map(forms).collect()
    }

    fn points(&self) -> [[u8; 65]; 4] {
        self.0.map(|scalar| {
            SigningKey::from_scalar(&Secret::copy_from(&scalar)).unwrap().verifying_key().to_point()
        })
    }

    /// The key that decrypts tasks.
    pub(crate) fn worker_kid(&self) -> KeyId {
        let [_, worker, _, _] = self.kids();
        worker
    }

    fn kids(&self) -> [KeyId; 4] {
        self.0
            .map(|scalar| SigningKey::from_scalar(&Secret::copy_from(&scalar)).unwrap().verifying_key().kid())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The role of the process that imports the keys.
pub(crate) fn import_role(scalars: &Scalars) -> String {
    format!("import:{}", hex(scalars.0.as_flattened()))
}

/// Imports the keys into the token, in a separate process.
pub(crate) fn put_into(fixture: &Fixture, scalars: &Scalars) {
    fixture.elsewhere(&import_role(scalars));
}

/// Does so, in that process.
pub(crate) fn import(fixture: &Fixture, role: &str) {
    let (what, scalars) = role.split_once(':').unwrap();
    let bytes: Vec<u8> = (0..scalars.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&scalars[at..at + 2], 16).unwrap())
        .collect();
    let (scalars, []) = bytes.as_chunks::<32>() else { panic!("whole scalars") };
    let scalars = Scalars(scalars.try_into().unwrap());
    let session = fixture.raw_session();
    for (((scalar, point), kid), (name, signs)) in
        scalars.0.iter().zip(scalars.points()).zip(scalars.kids()).zip(KEYS)
    {
        if what == "import-worker" && name != "worker" {
            continue;
        }
        let common = [
            Attribute::KeyType(KeyType::EC),
            Attribute::Token(true),
            Attribute::Id(kid.as_bytes().to_vec()),
            Attribute::Label(name.into()),
            Attribute::EcParams(vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
        ];
        let mut public = common.to_vec();
        public.extend([
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::EcPoint([&[0x04, 0x41], point.as_slice()].concat()),
        ]);
        session.create_object(&public).unwrap();
        let mut private = common.to_vec();
        private.extend([
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(signs),
            Attribute::Derive(!signs),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::SignRecover(false),
            Attribute::Value(scalar.to_vec()),
        ]);
        session.create_object(&private).unwrap();
    }
}

/// Deletes the key that decrypts tasks, in a separate process.
pub(crate) fn delete_worker_key(fixture: &Fixture) {
    let session = fixture.raw_session();
    let wanted = [Attribute::Label("worker".into()), Attribute::Token(true)];
    for object in session.find_objects(&wanted).unwrap() {
        session.destroy_object(object).unwrap();
    }
}

/// Imports that key again.
pub(crate) fn put_back_worker_key(fixture: &Fixture, scalars: &Scalars) {
    fixture.elsewhere(&import_role(scalars).replace("import:", "import-worker:"));
}

/// Injects one fault after the other until the end; returns their number.
pub(crate) fn trouble(fixture: &Fixture, ended: &AtomicBool) -> usize {
    const LOSSES: [(&str, &str); 6] = [
        ("close_all", ""),
        ("rv.C_SignInit", "0x30"),
        ("logout", ""),
        ("rv.C_DeriveKey", "0xb3"),
        ("rv.C_OpenSession", "0xe0"),
        ("rv.C_Sign", "0x32"),
    ];
    let mut happened = 0;
    for (fault, content) in LOSSES.into_iter().cycle() {
        thread::sleep(Duration::from_millis(300));
        if ended.load(Ordering::Relaxed) {
            return happened;
        }
        // One fault at a time: the pauses between attempts grow, and the token has to recover in between.
        let is_up = taskseal::keys::pkcs11::health().iter().all(|(_, token)| token.is_up());
        if is_up && !fixture.has(fault) {
            fixture.fault(fault, content);
            happened += 1;
        }
    }
    happened
}

pub(crate) fn task(number: usize) -> Task {
    Task::new("email:send", &number).unwrap()
}

/// The public key of another party, a different one for each number.
pub(crate) fn peer(number: u8) -> AgreementPublicKey {
    AgreementKey::from_scalar(&Secret::copy_from(&[number; 32])).unwrap().public_key()
}

/// The deployment.
#[derive(Debug)]
pub(crate) struct Plant {
    folder: PathBuf,
}

impl Plant {
    /// Writes its files; the keys are in the token of the fixture, or in files.
    pub(crate) fn make(folder: &Path, redis: &str, scalars: &Scalars, token: Option<&Fixture>) -> Self {
        let (points, kids) = (scalars.points(), scalars.kids());
        let mut keyset = String::new();
        for (((name, signs), point), kid) in KEYS.into_iter().zip(points).zip(kids) {
            let kind = if matches!(name, "producer" | "worker") { "task" } else { "result" };
            let public = taskseal::keys::public_text(&point);
            let (algorithm, rights) = match signs {
                true => ("ES256", "issuers = [\"*\"]\ntypes = [\"*\"]\naudiences = [\"plant/*\"]\n"),
                false => ("ECDH-ES", ""),
            };
            keyset += &format!(
                "[[key]]\nkid = \"{kid}\"\nalg = \"{algorithm}\"\nuse = \"{kind}\"\npublic = \"{public}\"\n{rights}\n"
            );
        }
        fs::write(folder.join("keyset.toml"), keyset).unwrap();
        let mut place =
            KEYS.iter().zip(kids).zip(scalars.0).map(|(((name, signs), kid), scalar)| match token {
                Some(fixture) => {
                    let id: String = kid.as_bytes().iter().map(|byte| format!("%{byte:02X}")).collect();
                    let module = fixture.module.display();
                    format!(
                        "pkcs11:token={LABEL};id={id}?module-path={module}&pin-source=env:TASKSEAL_TEST_PIN"
                    )
                }
                None => key_file(folder, name, *signs, &scalar),
            });
        let [producer, worker, results, reader] = [(); 4].map(|()| place.next().unwrap());
        let [_, worker_kid, _, reader_kid] = kids;
        let text = format!(
            "deployment = \"plant\"\n[broker]\nurl = \"{redis}\"\n\
             [client]\nissuer = \"shop\"\nsuite = \"SP\"\nkey = \"{producer}\"\nrecipient = \"{worker_kid}\"\n\
             result_key = \"{reader}\"\nsign_batch = 64\n\
             [policy]\nbatches = true\n\
             [worker]\nid = \"worker-1\"\ndecryption_keys = [\"{worker}\"]\nresult_suite = \"SP\"\n\
             result_key = \"{results}\"\nresult_recipient = \"{reader_kid}\"\n[[worker.queue]]\nname = \"mail\"\n"
        );
        fs::write(folder.join("taskseal.toml"), text).unwrap();
        Self { folder: folder.to_owned() }
    }

    /// The deployment that is in this folder already.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Removes the keys in files and the memory of workers.
    pub(crate) fn remove(self) {
        for (name, _) in KEYS {
            fs::remove_file(self.folder.join(format!("{name}.key"))).unwrap();
        }
        fs::remove_dir_all(self.folder.join("state")).unwrap();
    }

    /// Removes the key that decrypts tasks from the keyset. The configuration still names it.
    pub(crate) fn forget_worker_key(&self, scalars: &Scalars) {
        let (file, kid) = (self.folder.join("keyset.toml"), scalars.worker_kid());
        let keyset = fs::read_to_string(&file).unwrap();
        let others = keyset.split_inclusive("\n\n").filter(|entry| !entry.contains(&kid.to_string()));
        let others: String = others.collect();
        assert!(others.len() < keyset.len(), "it has no such key");
        fs::write(file, others).unwrap();
    }

    fn config(&self) -> Config {
        Config::load(&self.folder.join("taskseal.toml")).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::open(&self.config()).unwrap()
    }

    pub(crate) fn keyring(&self) -> Keyring {
        self.config().keyring().unwrap()
    }

    pub(crate) fn result_key(&self) -> SealingKey {
        let config = self.config();
        let source = config.worker().unwrap().result.as_ref().unwrap();
        self.keyring().sealing_key(source, Kind::Result).unwrap()
    }

    /// A worker with short waits.
    pub(crate) fn worker(&self, ran: &Ran) -> Worker {
        let (config, keyring, key) = (self.config(), self.keyring(), self.result_key());
        let mut settings = WorkerSettings::new("worker-1", "plant", QueueName::parse("mail").unwrap());
        settings.policy.batches = true;
        settings.lease = Duration::from_secs(5);
        settings.key_retry = Duration::from_millis(50);
        settings.poll = Duration::from_millis(50);
        settings.backoff.first = Duration::from_millis(20);
        settings.backoff.longest = Duration::from_millis(50);
        let state = self.folder.join("state");
        fs::create_dir_all(&state).unwrap();
        let parts = WorkerParts {
            broker: config.open_broker().unwrap(),
            ledger: Arc::new(SqliteLedger::open(&state.join("ledger.db")).unwrap()),
            quarantine: Arc::new(Quarantine::open(&state.join("quarantine.db"), Limits::default()).unwrap()),
            keyring,
            results: ResultSealer::new("worker-1", key).unwrap(),
            handlers: ran.handlers(),
        };
        Worker::new(settings, parts)
    }
}

/// A secret key file as `taskseal keygen` writes it, of a key that the test knows.
fn key_file(folder: &Path, name: &str, signs: bool, scalar: &[u8; 32]) -> String {
    let key = SigningKey::from_scalar(&Secret::copy_from(scalar)).unwrap().verifying_key();
    let point = key.to_point();
    let (algorithm, operation): (&[u8], u8) = if signs { (&[0x26], 1) } else { (&[0x38, 0x18], 7) };
    let cose_key = [
        [0xa8, 0x01, 0x02, 0x02, 0x48].as_slice(),
        key.kid().as_bytes(),
        &[0x03],
        algorithm,
        &[0x04, 0x81, operation, 0x20, 0x01, 0x21, 0x58, 0x20],
        &point[1..33],
        &[0x22, 0x58, 0x20],
        &point[33..],
        &[0x23, 0x58, 0x20],
        scalar,
    ]
    .concat();
    let armour =
        pem_rfc7468::encode_string("TASKSEAL SECRET KEY", pem_rfc7468::LineEnding::LF, &cose_key).unwrap();
    taskseal::file_security::create(&folder.join(format!("{name}.key")), armour.as_bytes()).unwrap();
    format!("{name}.key")
}
