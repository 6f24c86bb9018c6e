//! Concurrent use: threads during repeated losses, and processes that share a token.

use std::env;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use taskseal_core::keys::AgreementKey;
use taskseal_core::{Agree, Secret};
use taskseal_hsm::{EcKey, Error, KeySelector, MacKey, Settings, Token, TokenState, Usage};

use crate::support::{Fixture, Kind, eventually, on_every_token, sign, wait_for};

/// Returns the duration of the test and the interval between losses. `TASKSEAL_FULL=1` selects the long run.
fn plan() -> (Duration, Duration) {
    let full = env::var_os("TASKSEAL_FULL").is_some_and(|value| value == "1");
    if full {
        (Duration::from_secs(60), Duration::from_secs(5))
    } else {
        (Duration::from_secs(8), Duration::from_secs(1))
    }
}

/// The faults, in order: all sessions, the device, the login, a slot, a session, the token.
const LOSSES: [(&str, &str); 6] = [
    ("close_all", ""),
    ("rv.C_SignInit", "0x30"),
    ("logout", ""),
    ("rv.C_OpenSession", "0xe0"),
    ("rv.C_DeriveKey", "0xb3"),
    ("rv.C_Sign", "0x32"),
];

/// Sets the flag on drop, also after a panic.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn eight_threads_get_no_wrong_result_during_repeated_losses(fixture: &Fixture) {
    let token = fixture.open(Settings::new().timeout(Duration::from_secs(5)));
    let signing = EcKey::generate(&token, Usage::Sign, "sign").unwrap();
    let agreement = EcKey::generate(&token, Usage::Agree, "agree").unwrap();
    let mut host = AgreementKey::from_scalar(&Secret::copy_from(&[7; 32])).unwrap();
    let Ok(expected) = host.agree(&agreement.agreement_key().unwrap());
    let (length, interval) = plan();
    let (ended, done, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));

    thread::scope(|scope| {
        // A panic on this thread must end the others, because the scope waits for them.
        let _end = SetOnDrop(&ended);
        for number in 0..8 {
            let (signing, agreement, token) = (&signing, &agreement, &token);
            let (host, expected, ended, done, refused) =
                (host.public_key(), &expected, &ended, &done, &refused);
            scope.spawn(move || {
                let mut round = 0_u64;
                while !ended.load(Ordering::Relaxed) {
                    round += 1;
                    let result = match (number, round % 64) {
                        (0, 0) => EcKey::load(token, &KeySelector::label("sign"), Usage::Sign).map(|_| ()),
                        (0..=5, _) => sign(signing, &format!("{number} {round}")),
                        _ => agreement.agree(&host).map(|secret| {
                            assert_eq!(secret.as_bytes(), expected.as_bytes(), "wrong shared secret");
                        }),
                    };
                    match result {
                        Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                        Err(Error::Transient { retry_after }) => {
                            thread::sleep(retry_after.min(Duration::from_millis(20)));
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(error) => panic!("{error:?}"),
                    };
                }
            });
        }
        let end = Instant::now() + length;
        for (fault, content) in LOSSES.into_iter().cycle() {
            thread::sleep(interval.min(end.saturating_duration_since(Instant::now())));
            if Instant::now() >= end {
                break;
            }
            if !fixture.has(fault) {
                fixture.fault(fault, content);
            }
            let before = done.load(Ordering::Relaxed);
            wait_for("calls succeed again", || done.load(Ordering::Relaxed) > before + 8);
        }
    });

    wait_for("the token is up", || token.health().state == TokenState::Up);
    let health = token.health();
    eprintln!(
        "{:?}: {} results, {} refused, recoveries {}/{}/{}",
        fixture.kind,
        done.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
        health.session_recoveries,
        health.login_recoveries,
        health.library_recoveries
    );
    assert!(health.login_recoveries > 0 && health.library_recoveries > 0, "{health:?}");
    assert_eq!((health.faulty_answers, health.abandoned), (0, 0), "{health:?}");
    assert!(done.load(Ordering::Relaxed) > 100);
}

fn two_processes_use_one_token(fixture: &Fixture) {
    // With kryoptic, objects are created by one process, before the others start.
    let create = fixture.kind == Kind::SoftHsm;
    // A token may fail while another process writes to it.
    let own = |token: &Token, name: &str| {
        eventually(|| match EcKey::load(token, &KeySelector::label(name), Usage::Sign) {
            Err(Error::NoSuchKey) => EcKey::generate(token, Usage::Sign, name),
            found => found,
        })
    };
    let own_mac = |token: &Token, name: &str| {
        eventually(|| match MacKey::load(token, &KeySelector::label(name)) {
            Err(Error::NoSuchKey) => MacKey::generate(token, name),
            found => found,
        })
    };
    let work = |token: &Token, name: &str| {
        let (own, shared) = (own(token, name), own(token, "shared"));
        for round in 0..100 {
            eventually(|| sign(&own, &format!("{name} {round}")));
            eventually(|| sign(&shared, &format!("{name} {round}")));
            if round % 25 == 0 {
                let mac = own_mac(token, &format!("{name} {round}"));
                eventually(|| mac.mac(b"text"));
            }
        }
    };
    if let Some(role) = fixture.role() {
        let token = Token::open(&fixture.uri(), Settings::new()).unwrap();
        if role != "count" {
            return work(&token, &role);
        }
        let keys = token.keys().unwrap();
        assert_eq!(keys.len(), 1 + 3 * 5, "{keys:?}");
        return assert!(keys.iter().all(|key| key.defect.is_none()), "{keys:?}");
    }
    let token = fixture.open(Settings::new());
    own(&token, "shared");
    for name in ["a", "b", "c"].into_iter().filter(|_| !create) {
        own(&token, name);
        for round in [0, 25, 50, 75] {
            own_mac(&token, &format!("{name} {round}"));
        }
    }

    let mut others: Vec<_> = ["a", "b"].map(|name| fixture.start(name)).into_iter().collect();
    work(&token, "c");
    for other in &mut others {
        assert!(other.wait().unwrap().success());
    }
    // A new process reads the objects of the others from storage.
    fixture.run_child("count");
}

/// Two `Token` values for one token: the restart of one is detected by the other, which logs in again.
fn tokens_of_one_library_recover_after_each_others_restarts(fixture: &Fixture) {
    let one = fixture.open(Settings::new());
    let two = Token::open(&fixture.uri(), Settings::new()).unwrap();
    let key = EcKey::generate(&one, Usage::Sign, "orders").unwrap();
    let same = EcKey::load(&two, &KeySelector::kid(key.kid()), Usage::Sign).unwrap();

    for _ in 0..3 {
        fixture.fault("rv.C_SignInit", "0x30");
        eventually(|| sign(&key, "one"));
        eventually(|| sign(&same, "two"));
        fixture.fault("rv.C_SignInit", "0x30");
        eventually(|| sign(&same, "two"));
        eventually(|| sign(&key, "one"));
    }
    assert_eq!(one.health().library_recoveries + two.health().library_recoveries, 6);
}

on_every_token! {
    eight_threads_get_no_wrong_result_during_repeated_losses,
    two_processes_use_one_token,
    tokens_of_one_library_recover_after_each_others_restarts,
}
