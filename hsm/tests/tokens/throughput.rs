//! Measures the cost of the pool and of checking every signature. Prints rates; run it alone and optimised:
//!
//! ```console
//! cargo test --release -p taskseal-hsm --test tokens throughput:: -- --ignored --nocapture --test-threads=1
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use taskseal_core::keys::AgreementKey;
use taskseal_core::{Provider, Secret, Software};
use taskseal_hsm::{EcKey, KeySelector, MacKey, SelfCheck, Settings, Token, Usage, WrappingKey};

use crate::support::{Fixture, Kind, LABEL, digest, on};

/// Returns the operations per second of this many threads, the best of five windows.
fn rate(threads: usize, work: impl Fn() + Sync) -> f64 {
    let window = || {
        let (count, end) = (AtomicU64::new(0), Instant::now() + Duration::from_millis(400));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while Instant::now() < end {
                        work();
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        f64::from(u32::try_from(count.into_inner()).unwrap()) / 0.4
    };
    (0..5).map(|_| window()).fold(0.0, f64::max)
}

fn print_rates(fixture: &Fixture) {
    fixture.init();
    // Without the shim, which the other tests need.
    let library = std::env::var("SHIM_MODULE").unwrap();
    let open = |settings: Settings| Token::open(&fixture.uri().with_module_path(&library), settings).unwrap();
    let first = open(Settings::new().self_check(SelfCheck::AtLogin));
    let always = open(Settings::new());
    let key = EcKey::generate(&always, Usage::Sign, "sign").unwrap();
    let unchecked = EcKey::load(&first, &KeySelector::kid(key.kid()), Usage::Sign).unwrap();
    let agreement = EcKey::generate(&always, Usage::Agree, "agree").unwrap();
    let mac = MacKey::generate(&always, "mac").unwrap();
    let kek = WrappingKey::generate(&always, "kek").unwrap();
    let host = AgreementKey::from_scalar(&Secret::copy_from(&[7; 32])).unwrap().public_key();
    let (digest, file_key) = (digest("task"), Secret::copy_from(&[9; 32]));
    let wrapped = kek.wrap(&file_key).unwrap();
    let (signature, verifying) = (key.sign_digest(&digest).unwrap(), key.verifying_key().unwrap());

    let report = |what: &str, rate: f64| eprintln!("{:?}: {what}: {rate:.0}/s", fixture.kind);
    let pkcs11 = cryptoki::context::Pkcs11::new(&library).unwrap();
    let slots = pkcs11.get_slots_with_token().unwrap();
    let slot = slots.into_iter().find(|slot| pkcs11.get_token_info(*slot).unwrap().label() == LABEL);
    let session = std::sync::Mutex::new(pkcs11.open_ro_session(slot.unwrap()).unwrap());
    let id = Attribute::Id(key.kid().as_bytes().to_vec());
    let handle =
        session.lock().unwrap().find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY), id]).unwrap()[0];
    report(
        "C_Sign without this crate",
        rate(1, || drop(session.lock().unwrap().sign(&Mechanism::Ecdsa, handle, &digest).unwrap())),
    );
    report("verify in the host", rate(1, || Software.verify_es256(&verifying, &digest, &signature).unwrap()));
    for threads in [1, 2, 4] {
        report(
            &format!("sign, checked at login, {threads} threads"),
            rate(threads, || assert!(unchecked.sign_digest(&digest).is_ok())),
        );
        report(
            &format!("sign, always checked, {threads} threads"),
            rate(threads, || assert!(key.sign_digest(&digest).is_ok())),
        );
    }
    report("agree", rate(1, || assert!(agreement.agree(&host).is_ok())));
    report("mac of 256 bytes", rate(1, || assert!(mac.mac(&[1; 256]).is_ok())));
    report("wrap", rate(1, || assert!(kek.wrap(&file_key).is_ok())));
    report("unwrap", rate(1, || assert!(kek.unwrap(&wrapped).is_ok())));
}

#[test]
#[ignore = "prints rates"]
fn softhsm() {
    on(Kind::SoftHsm, "throughput::softhsm", print_rates);
}

#[test]
#[ignore = "prints rates"]
fn kryoptic() {
    on(Kind::Kryoptic, "throughput::kryoptic", print_rates);
}
