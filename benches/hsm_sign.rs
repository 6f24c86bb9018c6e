//! What does a key in a token cost, and what do batches give back?
//!
//! A private SoftHSM token. First signatures a second: our pool of sessions beside a session for each signature (open, find
//! the key, sign, close), as simple clients of PKCS#11 do, by 1 to 8 threads. Then sealed tasks a second, with 1, 16
//! and 64 tasks under one signature, through the same token and through one that is slowed to 13 signatures a second,
//! which is what small devices give.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use taskseal_benches::Samples;
use taskseal_core::keys::AgreementPublicKey;
use taskseal_core::{ContentType, Sealer};
use taskseal_hsm::{EcKey, Module, Pin, SelfCheck, Settings, Token, TokenUri, Usage, softhsm};
use taskseal_tests::example::{self, Counted};

const PIN: &str = "31415926";
const LABEL: &str = "bench";
const ROUNDS: usize = 5;
/// How long one measurement takes.
const WINDOW: Duration = Duration::from_millis(400);
/// What tells the child what it is to do.
const PART: &str = "TASKSEAL_BENCH_PART";
const MODULE: &str = "TASKSEAL_BENCH_MODULE";
/// Milliseconds that the slow token takes longer: 13 signatures a second.
const DELAY: &str = "76";

fn main() {
    // A PKCS#11 module reads the location of its tokens from the environment, so each part runs in a separate process.
    match env::var(PART).as_deref() {
        Ok("pool") => pool(),
        Ok("batches") => batches("a token of SoftHSM"),
        Ok("slow") => batches("the same, slowed to 13 signatures a second"),
        _ => {
            for part in ["pool", "batches", "slow"] {
                run(part);
            }
        }
    }
}

fn run(part: &str) {
    let library = softhsm::find_library().expect("SoftHSM 2 is installed (Debian: softhsm2)");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let conf = softhsm::prepare(folder.path()).expect("a folder for tokens");
    let mut child = Command::new(env::current_exe().expect("this program"));
    child.env(PART, part).env(softhsm::CONF_VARIABLE, conf).env(MODULE, &library);
    if part == "slow" {
        let module = slowed(folder.path());
        fs::write(folder.path().join("delay"), DELAY).expect("the delay");
        child.env(MODULE, module).env("SHIM_MODULE", &library).env("SHIM_FOLDER", folder.path());
    }
    assert!(child.status().expect("this program can be started").success(), "{part}");
}

/// A module before that of SoftHSM, which takes its time.
fn slowed(folder: &Path) -> std::path::PathBuf {
    let (source, module) = (folder.join("shim.c"), folder.join("shim.so"));
    fs::write(&source, include_str!("../hsm/tests/shim/shim.c")).expect("the source of the shim");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&module).arg(&source).args(["-ldl", "-lpthread"]);
    assert!(compiler.status().expect("a C compiler").success());
    module
}

fn token(settings: Settings) -> Token {
    let module = env::var_os(MODULE).expect("the parent names it");
    let pin = || Pin::new(PIN).expect("a pin");
    // Later calls find it there.
    let _ = Module::load(&module).expect("the library").init_token(LABEL, &pin(), &pin());
    let uri = TokenUri::parse(&format!("pkcs11:token={LABEL}")).expect("a uri").with_module_path(module);
    Token::open(&uri, settings.pin(pin())).expect("a token")
}

/// How often `work` is done in a second by so many threads.
fn rate(threads: usize, work: impl Fn(u64) + Sync) -> f64 {
    let (ended, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    work(done.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        thread::sleep(WINDOW);
        ended.store(true, Ordering::Relaxed);
    });
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let done = done.into_inner() as f64;
    done / started.elapsed().as_secs_f64()
}

fn pool() {
    let checked = token(Settings::new());
    let key = EcKey::generate(&checked, Usage::Sign, "sign").expect("a key");
    let peer = Peer::new();
    println!(
        "signatures a second, median of {ROUNDS} rounds (min-max); x beside a session for each signature"
    );
    println!(
        "{:>7} {:>9} {:>17} {:>12} {:>17} {:>5} {:>14} {:>5}",
        "threads", "session", "min-max", "pooled", "min-max", "x", "pooled+verify", "x"
    );
    // One login serves both: of this process, and of the module that it has loaded once.
    let unchecked = token(Settings::new().self_check(SelfCheck::AtLogin));
    let fast =
        EcKey::load(&unchecked, &taskseal_hsm::KeySelector::label("sign"), Usage::Sign).expect("the key");
    for threads in [1, 2, 4, 8] {
        let mut samples: [Samples; 3] = Default::default();
        for _ in 0..ROUNDS {
            let [sessions, pooled, verified] = &mut samples;
            sessions.push(rate(threads, |_| peer.sign()));
            pooled.push(rate(threads, |number| sign(&fast, number)));
            verified.push(rate(threads, |number| sign(&key, number)));
        }
        let [sessions, pooled, verified] = &samples;
        let base = sessions.median();
        println!(
            "{threads:>7} {base:>9.0} {:>17} {:>12.0} {:>17} {:>5.2} {:>14.0} {:>5.2}",
            sessions.spread(),
            pooled.median(),
            pooled.spread(),
            pooled.median() / base,
            verified.median(),
            verified.median() / base,
        );
    }
}

fn sign(key: &EcKey, number: u64) {
    let mut digest = [0x42; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    key.sign_digest(&digest).expect("a signature");
}

/// A client without a pool: logged in once, and a session for every signature.
struct Peer {
    pkcs11: Pkcs11,
    slot: Slot,
    /// Keeps the login.
    _session: std::sync::Mutex<cryptoki::session::Session>,
}

impl Peer {
    fn new() -> Self {
        let pkcs11 = Pkcs11::new(env::var_os(MODULE).expect("the parent names it")).expect("the library");
        // Initialised already, by the pool.
        let _ = pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slots = pkcs11.get_slots_with_token().expect("slots");
        let labelled = |slot: &Slot| pkcs11.get_token_info(*slot).is_ok_and(|info| info.label() == LABEL);
        let slot = slots.into_iter().find(labelled).expect("the token");
        let session = pkcs11.open_ro_session(slot).expect("a session");
        // Logged in already, by the pool.
        let _ = session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned())));
        Self { pkcs11, slot, _session: session.into() }
    }

    fn sign(&self) {
        let session = self.pkcs11.open_ro_session(self.slot).expect("a session");
        let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(b"sign".to_vec())];
        let keys = session.find_objects(&wanted).expect("the key");
        let key = keys.first().expect("the key");
        session.sign(&Mechanism::Ecdsa, *key, &[0x42; 32]).expect("a signature");
    }
}

fn batches(which: &str) {
    let token = token(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "sign").expect("a key");
    let recipient = example::worker().public_key();
    println!("\nsealed tasks a second, one caller, 256-byte bodies: {which}");
    println!("{:<6} {:>11} {:>9} {:>17} {:>7}", "suite", "tasks/sign.", "tasks/s", "min-max", "x");
    for suite in ["S", "SP"] {
        let mut alone = None;
        for size in [1, 16, 64] {
            let mut samples = Samples::default();
            for _ in 0..ROUNDS {
                samples.push(sealed(&key, (suite == "SP").then_some(&recipient), size));
            }
            let base = *alone.get_or_insert(samples.median());
            println!(
                "{suite:<6} {size:>11} {:>9.0} {:>17} {:>7.1}",
                samples.median(),
                samples.spread(),
                samples.median() / base
            );
        }
    }
}

/// Tasks a second.
fn sealed(key: &EcKey, recipient: Option<&AgreementPublicKey>, size: usize) -> f64 {
    let claims = example::plain_claims();
    let body = [0xa5; 256];
    let mut buffers = vec![vec![0; 2048]; size];
    let mut rng = Counted(0);
    let started = Instant::now();
    let mut done = 0_u32;
    while started.elapsed() < WINDOW || done == 0 {
        macro_rules! seal_with {
            ($sealer:expr) => {{
                let mut sealer = $sealer;
                if size == 1 {
                    let buffer = buffers.first_mut().expect("one");
                    sealer.seal(&claims, ContentType::JSON, &body, &mut rng, buffer).expect("sealed");
                } else {
                    let mut batch = sealer.batch::<64>();
                    let pending: Vec<_> = buffers
                        .iter_mut()
                        .map(|buffer| {
                            batch.add(&claims, ContentType::JSON, &body, &mut rng, buffer).expect("room")
                        })
                        .collect();
                    let signed = batch.sign().expect("a signature");
                    for (pending, buffer) in pending.into_iter().zip(&mut buffers) {
                        signed.finish(pending, buffer).expect("sealed");
                    }
                }
            }};
        }
        match recipient {
            None => seal_with!(Sealer::sign(key)),
            Some(recipient) => seal_with!(Sealer::sign_encrypt_to(key, recipient)),
        }
        done += u32::try_from(size).expect("64 at most");
    }
    f64::from(done) / started.elapsed().as_secs_f64()
}
