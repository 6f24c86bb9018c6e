//! Tokens of a test's own: a folder, a configuration, and a process, because a library is initialised once a process
//! and reads its configuration from the environment.

// Each test program uses a part of it.
#![allow(dead_code, unused_macros, unused_imports)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::{Session as RawSession, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use sha2::{Digest, Sha256};
use taskseal_core::keys::VerifyingKey;
use taskseal_core::{KeyId, Provider, Software};
use taskseal_hsm::{EcKey, Error, Module, Pin, Settings, Token, TokenUri, softhsm};

pub(crate) const PIN: &str = "31415926";
pub(crate) const SO_PIN: &str = "27182818";
pub(crate) const LABEL: &str = "plant";

/// Which library stands behind a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    SoftHsm,
    Kryoptic,
}

/// What a test gets in its own process.
#[derive(Debug)]
pub(crate) struct Fixture {
    name: String,
    pub(crate) kind: Kind,
    pub(crate) folder: PathBuf,
    /// The library to open: the token's own, or the shim before it.
    pub(crate) module: PathBuf,
}

/// Where p11-kit listens, in the folder of the test.
pub(crate) const SOCKET: &str = "p11-kit.sock";

const CHILD: &str = "TASKSEAL_HSM_CHILD";
const MODULE: &str = "TASKSEAL_HSM_MODULE";
const ROLE: &str = "TASKSEAL_HSM_ROLE";

/// Runs `body` in a process of its own for one kind of token. `name` is the path of the test function.
pub(crate) fn on(kind: Kind, name: &str, body: impl FnOnce(&Fixture)) {
    let library = match kind {
        Kind::SoftHsm => softhsm::find_library().expect("install softhsm2: these tests need a real token"),
        Kind::Kryoptic => match env::var_os("TASKSEAL_KRYOPTIC").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => {
                return did_not_run(name, "TASKSEAL_KRYOPTIC does not name libkryoptic_pkcs11.so");
            }
        },
    };
    if let Some(folder) = env::var_os(CHILD) {
        let module = env::var_os(MODULE).expect("the parent names it").into();
        return body(&Fixture { name: name.to_owned(), kind, folder: folder.into(), module });
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = again(name);
    child.env(CHILD, folder.path()).env("TASKSEAL_TEST_PIN", PIN);
    child.env(MODULE, shim()).env("SHIM_MODULE", &library).env("SHIM_FOLDER", folder.path());
    child.env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", folder.path().join(SOCKET).display()));
    child.envs(configure(kind, folder.path()));
    let said = |name: &str| folder.path().join(name);
    child.stdout(File::create(said("stdout")).unwrap()).stderr(File::create(said("stderr")).unwrap());
    let ended = end_of(child.spawn().unwrap());
    let [out, err] = ["stdout", "stderr"].map(|name| fs::read(said(name)).unwrap());
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    let status = ended.map_or_else(|| "still running, so killed".to_owned(), |status| status.to_string());
    assert!(ended.is_some_and(|status| status.success()), "{name}: {status}\n{out}\n{err}");
    eprint!("{err}");
    // A test that is not there would pass.
    assert!(out.contains("1 passed"), "{name} is not the path of a test:\n{out}");
}

/// How a process ended. One that does not end is killed: a library can keep a thread for ever.
fn end_of(mut child: Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + Duration::from_secs(300);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// Says so past the capture of output, which hides what tests that pass print.
pub(crate) fn did_not_run(name: &str, why: &str) {
    io::stderr().write_all(format!("DID NOT RUN: {name}: {why}\n").as_bytes()).unwrap();
}

/// This program, for one test.
fn again(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--include-ignored", "--test-threads=1"]);
    command
}

/// The module that has faults, compiled once a process.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.c", std::process::id()));
        fs::write(&source, include_str!("../shim/shim.c")).unwrap();
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(&source)
            .args(["-ldl", "-lpthread"]);
        assert!(compiler.status().expect("install a C compiler").success(), "the shim does not compile");
        // All test programs share it; the last one to finish wins, and they are all the same.
        fs::remove_file(source).unwrap();
        let shared = library.with_file_name("shim.so");
        fs::rename(&library, &shared).unwrap();
        shared
    })
}

/// The configuration of empty tokens, and the variable that points to it.
fn configure(kind: Kind, folder: &Path) -> [(&'static str, PathBuf); 1] {
    match kind {
        Kind::SoftHsm => [(softhsm::CONF_VARIABLE, softhsm::prepare(folder).unwrap())],
        Kind::Kryoptic => {
            let conf = folder.join("kryoptic.conf");
            let slots: String = (1..=2)
                .map(|slot| {
                    let store = folder.join(format!("tokens/{slot}.sql"));
                    format!(
                        "[[slots]]\nslot = {slot}\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n",
                        store.display()
                    )
                })
                .collect();
            fs::create_dir(folder.join("tokens")).unwrap();
            fs::write(&conf, slots).unwrap();
            [("KRYOPTIC_CONF", conf)]
        }
    }
}

impl Fixture {
    /// Makes the token and leaves it.
    pub(crate) fn init(&self) {
        let module = Module::load(&self.module).unwrap();
        module.init_token(LABEL, &Pin::new(SO_PIN).unwrap(), &Pin::new(PIN).unwrap()).unwrap();
    }

    pub(crate) fn uri(&self) -> TokenUri {
        let text = format!("pkcs11:token={LABEL}?pin-source=env:TASKSEAL_TEST_PIN");
        TokenUri::parse(&text).unwrap().with_module_path(&self.module)
    }

    /// Makes the token and logs in.
    pub(crate) fn open(&self, settings: Settings) -> Token {
        self.init();
        Token::open(&self.uri(), settings).unwrap()
    }

    /// The library without anything of ours before it: the first token that has a label.
    pub(crate) fn raw(&self) -> (Pkcs11, Slot) {
        let pkcs11 = Pkcs11::new(&self.module).unwrap();
        // Whoever came first has initialised it for the whole process.
        let _ = pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slots = pkcs11.get_slots_with_token().unwrap();
        let labelled = |slot: &Slot| pkcs11.get_token_info(*slot).is_ok_and(|info| info.label() == LABEL);
        let slot = slots.into_iter().find(labelled).unwrap();
        (pkcs11, slot)
    }

    /// A session that may write, logged in.
    pub(crate) fn raw_session(&self) -> RawSession {
        let (pkcs11, slot) = self.raw();
        let session = pkcs11.open_rw_session(slot).unwrap();
        // Somebody in this process may be logged in already.
        let _ = session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned())));
        session
    }

    /// What this process is to do, if it is not the first one of its test.
    pub(crate) fn role(&self) -> Option<String> {
        env::var(ROLE).ok()
    }

    /// Another process of the same test with the same tokens.
    pub(crate) fn start(&self, role: &str) -> Child {
        self.start_with(role, &[])
    }

    /// The same with more variables in its environment.
    pub(crate) fn start_with(&self, role: &str, environment: &[(&str, &OsStr)]) -> Child {
        again(&self.name).env(ROLE, role).envs(environment.iter().copied()).spawn().unwrap()
    }

    /// Another process that does something and is done.
    pub(crate) fn elsewhere(&self, role: &str) {
        let status: ExitStatus = self.start(role).wait().unwrap();
        assert!(status.success(), "{role}: {status}");
    }

    /// Brings a fault about.
    pub(crate) fn fault(&self, name: &str, content: &str) {
        // At once, so that a thread never sees half of it.
        let (written, place) = (self.folder.join("next-fault"), self.folder.join(name));
        fs::write(&written, content).unwrap();
        fs::rename(written, place).unwrap();
    }

    /// Ends a fault.
    pub(crate) fn mend(&self, name: &str) {
        fs::remove_file(self.folder.join(name)).unwrap();
    }

    /// Whether the fault has happened or is happening.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// What the shim wrote down of these calls.
    pub(crate) fn calls(&self, function: &str) -> Vec<u64> {
        let calls = fs::read_to_string(self.folder.join("calls")).unwrap_or_default();
        let of = |line: &str| line.strip_prefix(function)?.strip_prefix(' ')?.parse().ok();
        calls.lines().filter_map(of).collect()
    }

    /// How often the user was logged in, or tried to be. The security officer does not count.
    pub(crate) fn logins(&self) -> usize {
        self.calls("C_Login").into_iter().filter(|user| *user == 1).count()
    }
}

/// A second token, with any label.
pub(crate) fn second(fixture: &Fixture, label: &str) {
    let (pkcs11, _) = fixture.raw();
    let slots = pkcs11.get_slots_with_token().unwrap();
    let empty =
        slots.into_iter().find(|slot| !pkcs11.get_token_info(*slot).unwrap().token_initialized()).unwrap();
    pkcs11.init_token(empty, &AuthPin::from(SO_PIN.to_owned()), label).unwrap();
    let session = pkcs11.open_rw_session(empty).unwrap();
    session.login(UserType::So, Some(&AuthPin::from(SO_PIN.to_owned()))).unwrap();
    session.init_pin(&AuthPin::from("99999999".to_owned())).unwrap();
}

/// Makes a pair as other programs do. Later attributes prevail over the usual ones.
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
    let mut wanted = common.to_vec();
    let usual = [
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Derive(false),
        // What is left out is allowed by some tokens.
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::SignRecover(false),
    ];
    wanted.extend(
        usual
            .into_iter()
            .filter(|usual| !private.iter().any(|other| other.attribute_type() == usual.attribute_type())),
    );
    for attribute in private {
        match attribute {
            Attribute::EcParams(_) => public.push(attribute.clone()),
            _ => wanted.push(attribute.clone()),
        }
    }
    let (public, private) = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &wanted).unwrap();
    [public, private]
}

/// Gives a pair the id that taskseal expects.
pub(crate) fn name_by_kid(session: &RawSession, pair: [ObjectHandle; 2]) -> KeyId {
    let found = session.get_attributes(pair[0], &[AttributeType::EcPoint]).unwrap();
    let [Attribute::EcPoint(der)] = found.as_slice() else { panic!("no point") };
    let point: [u8; 65] = der[2..].try_into().unwrap();
    let kid = VerifyingKey::from_point(&point).unwrap().kid();
    for half in pair {
        session.update_attributes(half, &[Attribute::Id(kid.as_bytes().to_vec())]).unwrap();
    }
    kid
}

pub(crate) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Signs, and panics if what comes back does not verify.
pub(crate) fn sign(key: &EcKey, text: &str) -> Result<(), Error> {
    let digest = digest(text);
    let signature = key.sign_digest(&digest)?;
    let verified = Software.verify_es256(&key.verifying_key()?, &digest, &signature);
    assert!(verified.is_ok(), "the signature over {text} is wrong");
    Ok(())
}

/// Tries until it works; an error that does not go away by itself ends the test.
pub(crate) fn eventually<R>(mut attempt: impl FnMut() -> Result<R, Error>) -> R {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt() {
            Ok(result) => return result,
            Err(Error::Transient { retry_after }) => {
                thread::sleep(retry_after.min(Duration::from_millis(50)));
            }
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        assert!(Instant::now() < deadline, "it did not recover");
    }
}

/// Waits for a condition.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// One test for each kind of token: `softhsm::name`, `kryoptic::name`.
macro_rules! on_every_token {
    ($($name:ident),+ $(,)?) => {
        mod softhsm {
            use crate::support::{Kind, on};
            $(#[test] fn $name() { on(Kind::SoftHsm, concat!("softhsm::", stringify!($name)), super::$name); })+
        }
        mod kryoptic {
            use crate::support::{Kind, on};
            $(#[test] fn $name() { on(Kind::Kryoptic, concat!("kryoptic::", stringify!($name)), super::$name); })+
        }
    };
}
pub(crate) use on_every_token;
