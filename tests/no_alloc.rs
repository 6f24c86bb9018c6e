//! Sealing and opening never allocate, in any suite.
#![allow(unsafe_code)] // A global allocator can only be had by an unsafe impl.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::seal::Mode;
use taskseal_core::{
    ContentType, Keyset, NameSet, Policy, ReplayWindow, Sealer, Suite, SuiteSet, TimeWindow, Unverified,
};
use taskseal_tests::example::{self, BODY, Counted};

thread_local! {
    /// Allocations of this thread: the test harness allocates on others.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches a thread-local cell
// that is initialised at compile time and has no destructor, so it neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and returns how often it allocated.
fn allocations<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATIONS.get();
    let value = work();
    (value, ALLOCATIONS.get() - before)
}

/// Seals, parses, verifies, admits, opens and drops; returns the number of allocations on the way.
fn round_trip<M: Mode<Error = std::convert::Infallible>>(
    mut sealer: Sealer<M>,
    key: RecordKey<'_>,
    keys: &mut impl DecryptionKeys,
) -> usize {
    let claims = example::claims();
    let (mut buffer, mut body, mut rng) = ([0; 1024], [0; 64], Counted::default());
    let (length, allocated) = allocations(|| {
        let record = KeyRecord::new(key).issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY);
        let mut keyset = Keyset::<1>::new();
        keyset.insert(record).expect("a free place");
        let mut policy = Policy::for_tasks(claims.audience);
        policy.suites = SuiteSet::NONE.with(sealer.suite());
        let sealed = sealer
            .seal(&claims, ContentType::JSON, BODY, &mut rng, &mut buffer)
            .expect("enough room for the example");
        let opened = Unverified::parse(sealed)
            .and_then(|task| task.verify(&keyset, &policy, &mut TimeWindow::exact(example::ISSUED_AT)))
            .and_then(|task| task.admit(&mut ReplayWindow::<8>::new()))
            .and_then(|task| task.open(keys, &mut body))
            .expect("a valid example");
        opened.body().len()
    });
    assert_eq!(length, BODY.len());
    allocated
}

#[test]
fn no_suite_allocates() {
    let (producer, worker) = (example::producer(), example::worker());
    let (mac, shared) = (example::mac_key(), example::encryption_key());
    let (verifying, recipient) = (producer.verifying_key(), worker.public_key());
    let es256 = RecordKey::Es256(&verifying);
    let allocated = [
        (Suite::S, round_trip(Sealer::sign(&producer), es256, &mut ())),
        (Suite::M, round_trip(Sealer::authenticate(&mac), RecordKey::Hmac256(&mac), &mut ())),
        (Suite::E, round_trip(Sealer::encrypt(&shared), RecordKey::A256Gcm(&shared), &mut &shared)),
        (Suite::Se, round_trip(Sealer::sign_encrypt(&producer, &shared), es256, &mut &shared)),
        (
            Suite::Sp,
            round_trip(Sealer::sign_encrypt_to(&producer, &recipient), es256, &mut example::worker()),
        ),
    ];
    assert_eq!(allocated.map(|suite| suite.1), [0; 5], "{allocated:?}");
}

#[test]
fn making_keys_does_not_allocate() {
    let scalar = example::scalar("taskseal example worker key");
    let (_, allocated) = allocations(|| {
        let signing = taskseal_core::keys::SigningKey::from_scalar(&scalar).expect("a scalar");
        let agreement = taskseal_core::keys::AgreementKey::from_scalar(&scalar).expect("a scalar");
        (signing.verifying_key().kid(), agreement.public_key().kid())
    });
    assert_eq!(allocated, 0);
}

#[test]
fn the_counter_counts() {
    let (boxed, allocated) = allocations(|| Box::new([0_u8; 32]));
    assert_eq!((boxed.len(), allocated), (32, 1));
}
