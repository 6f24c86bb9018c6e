//! Does the time an operation takes depend on a secret?
//!
//! After dudect: two classes of inputs, drawn at random one after the other, and Welch's t-test on how long they took,
//! with and without the slowest samples (interrupts affect both classes and hide differences). Class 0 has the
//! same secret in all its inputs, class 1 a fresh one in each; for comparisons, class 0 differs in the first byte and
//! class 1 in the last. |t| stays below some 4.5 where nothing depends on the class; the control, a comparison that
//! ends early, is far above. The column `by ns` is how much longer a call of class 0 took, in the fastest 90 %: a
//! difference of a cycle whose sign changes from run to run is the machine's, one that keeps its sign is ours. A quiet
//! machine is needed: this is for a person to look at and no test asserts it.
#![allow(clippy::indexing_slicing)] // Fixed lengths throughout.

use std::hint::black_box;
use std::time::Instant;

use taskseal_core::keys::{AgreementKey, EncryptionKey, HmacKey, SigningKey};
use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{
    Agree, ContentType, KeyId, Keyset, NameSet, Policy, Provider, Sealer, Secret, Signer, Software, Suite,
    SuiteSet, TimeWindow, Unverified, tags_match,
};
use taskseal_tests::example::{self, Counted, sha256};

/// Inputs a class; a power of two.
const POOL: usize = 64;
/// Share of the fastest samples that is kept, in percent.
const CROPS: [usize; 4] = [100, 99, 90, 50];
const KID: KeyId = KeyId::from_bytes([7; 8]);

fn main() {
    println!(
        "{:<34} {:>8} {:>9} {:>8}   |t| of the fastest {CROPS:?} %",
        "case", "samples", "median ns", "by ns"
    );
    compare_early();
    compare_tags();
    verify_mac();
    seal_mac();
    encrypt();
    check_tag("GCM check, tag differs", |key, tag| {
        black_box(Software.check_a256gcm(key, &[1; 12], &[&[2; 32]], &[3; 256], tag).is_ok());
    });
    check_tag("GCM decrypt, tag differs", |key, tag| {
        black_box(Software.decrypt_a256gcm(key, &[1; 12], &[&[2; 32]], &mut [3; 256], tag).is_ok());
    });
    derive();
    sign();
    agree();
}

fn compare_early() {
    measure(
        "control: == that ends early",
        200_000,
        50,
        tags(),
        |raw| *raw,
        |raw| {
            let (left, right) = raw.split_at(32);
            black_box(left.iter().zip(right).all(|(left, right)| black_box(left) == right));
        },
    );
}

fn compare_tags() {
    measure(
        "tags_match",
        200_000,
        50,
        tags(),
        |raw| *raw,
        |raw| {
            let (left, right) = raw.split_at(32);
            black_box(tags_match(black_box(left), right));
        },
    );
}

/// Pairs that differ in the first or in the last byte.
fn tags() -> [Vec<Raw>; 2] {
    pools(|class, index| {
        let left = random("tag", index);
        let mut right = left;
        right[class * 31] ^= 1;
        joined(left, right)
    })
}

fn verify_mac() {
    let key = example::mac_key();
    let (claims, mut buffer) = (example::plain_claims(), [0; 1024]);
    let sealed = Sealer::authenticate(&key)
        .seal(&claims, ContentType::JSON, example::BODY, &mut Counted(0), &mut buffer)
        .expect("enough room")
        .to_vec();
    let length = sealed.len();
    // Its last 32 bytes are the tag.
    let forgeries = pools(|class, _| {
        let mut tag: [u8; 32] = *sealed.last_chunk().expect("a tag");
        tag[class * 31] ^= 1;
        joined(tag, [])
    });
    let forge = |raw: &Raw| {
        let mut forged = [0; 512];
        forged[..length].copy_from_slice(&sealed);
        forged[length - 32..length].copy_from_slice(&raw[..32]);
        forged
    };
    let mut keyset = Keyset::<1>::new();
    let record = KeyRecord::new(RecordKey::Hmac256(&key));
    keyset
        .insert(record.issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY))
        .expect("a free place");
    let mut policy = Policy::for_tasks(claims.audience);
    policy.suites = SuiteSet::NONE.with(Suite::M);
    measure("suite M verify, tag differs", 100_000, 4, forgeries, forge, |forged| {
        let task = Unverified::parse(&forged[..length]).expect("an envelope");
        black_box(task.verify(&keyset, &policy, &mut TimeWindow::exact(example::ISSUED_AT)).is_ok());
    });
}

fn seal_mac() {
    let (claims, mut buffer) = (example::plain_claims(), [0; 1024]);
    let make = |secret: &Raw| HmacKey::new(KID, key_of(secret));
    measure("suite M seal, key", 100_000, 4, pools(secret), make, |key| {
        let sealed = Sealer::authenticate(key).seal(
            &claims,
            ContentType::JSON,
            example::BODY,
            &mut Counted(0),
            &mut buffer,
        );
        black_box(sealed.is_ok());
    });
}

fn encrypt() {
    let mut buffer = [3; 256];
    measure("GCM encrypt, key", 200_000, 4, pools(secret), key_of, |key| {
        black_box(Software.encrypt_a256gcm(key, &[1; 12], &[&[2; 32]], &mut buffer).is_ok());
    });
}

fn check_tag(name: &str, mut operation: impl FnMut(&Secret<32>, &[u8; 16])) {
    let inputs = pools(|class, index| {
        let key = key_of(&secret(1, index));
        // Encrypting zeros gives the key stream, and with it the plaintext of the ciphertext that is checked.
        let mut buffer = [0; 256];
        Software.encrypt_a256gcm(&key, &[1; 12], &[&[2; 32]], &mut buffer).expect("short");
        buffer.iter_mut().for_each(|byte| *byte ^= 3);
        let mut tag = Software.encrypt_a256gcm(&key, &[1; 12], &[&[2; 32]], &mut buffer).expect("short");
        tag[class * 15] ^= 1;
        joined(*key.as_bytes(), tag)
    });
    let make = |raw: &Raw| (key_of(raw), *raw[32..].first_chunk().expect("16 of them"));
    measure(name, 200_000, 4, inputs, make, |(key, tag)| operation(key, tag));
}

/// HKDF, with the encryption that follows it.
fn derive() {
    let (claims, mut buffer) = (example::plain_claims(), [0; 1024]);
    let make = |secret: &Raw| EncryptionKey::new(KID, key_of(secret));
    measure("suite E seal (HKDF), key", 100_000, 2, pools(secret), make, |key| {
        let sealed = Sealer::encrypt(key).seal(
            &claims,
            ContentType::JSON,
            example::BODY,
            &mut Counted(0),
            &mut buffer,
        );
        black_box(sealed.is_ok());
    });
}

fn sign() {
    let make = |secret: &Raw| SigningKey::from_scalar(&key_of(secret)).expect("a scalar in range");
    // With one digest, the nonce too is the same in class 0 and another each time in class 1.
    measure("ES256 sign, key and nonce", 20_000, 1, pools(secret), make, |mut key| {
        black_box(key.sign_digest(&[5; 32]).is_ok());
    });
}

fn agree() {
    let make = |secret: &Raw| AgreementKey::from_scalar(&key_of(secret)).expect("a scalar in range");
    let peer = example::worker().public_key();
    measure("ECDH agree, scalar", 20_000, 1, pools(secret), make, |mut key| {
        black_box(key.agree(&peer).is_ok());
    });
}

fn random(label: &str, index: usize) -> [u8; 32] {
    sha256(format!("{label} {index}").as_bytes())
}

/// One for all of class 0, with few bits set; another each time in class 1.
fn secret(class: usize, index: usize) -> Raw {
    let mut plain = [0; 32];
    plain[31] = 3;
    joined(if class == 0 { plain } else { random("secret", index) }, [])
}

/// What an input is made of: as many bytes as it needs, from the first.
type Raw = [u8; 64];

fn pools(make: impl Fn(usize, usize) -> Raw) -> [Vec<Raw>; 2] {
    [0, 1].map(|class| (0..POOL).map(|index| make(class, index)).collect())
}

/// Both are read, whichever it is to be, so that caches and buffers look the same afterwards.
fn choose(inputs: &[Vec<Raw>; 2], class: usize, index: usize) -> Raw {
    let mask = black_box(if class == 0 { 0 } else { 0xff });
    let (first, second) = (black_box(&inputs[0][index]), black_box(&inputs[1][index]));
    std::array::from_fn(|at| first[at] & !mask | second[at] & mask)
}

fn joined<const N: usize>(first: [u8; 32], second: [u8; N]) -> Raw {
    let mut raw = [0; 64];
    raw[..32].copy_from_slice(&first);
    raw[32..32 + N].copy_from_slice(&second);
    raw
}

fn key_of(raw: &Raw) -> Secret<32> {
    Secret::copy_from(raw.first_chunk().expect("32 of them"))
}

/// Times `operation` on inputs of both classes, `calls` of it a sample, and prints a line. Before each sample the input
/// is made anew in one place, or the time would tell where in memory it lies.
fn measure<I>(
    name: &str,
    samples: usize,
    calls: usize,
    inputs: [Vec<Raw>; 2],
    mut make: impl FnMut(&Raw) -> I,
    mut operation: impl FnMut(&I),
) {
    let mut times: Vec<(u64, usize)> = Vec::with_capacity(samples);
    for sample in 0..samples + POOL {
        // The order is random, but the same in each run.
        let draw = sha256(&sample.to_le_bytes());
        let class = usize::from(draw[0] & 1);
        let input = make(&choose(&inputs, class, usize::from(draw[1]) % POOL));
        let input = black_box(&input);
        let start = Instant::now();
        (0..calls).for_each(|_| operation(input));
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // The first ones warm up caches and clocks.
        if sample >= POOL {
            times.push((took, class));
        }
    }
    times.sort_unstable();
    let median = times[times.len() / 2].0 / calls as u64;
    let fastest = |percent: usize| {
        // By time, not by number: among equal times no class may come first.
        let most = times[times.len() * percent / 100 - 1].0;
        welch(&times[..times.partition_point(|(took, _)| *took <= most)])
    };
    let scores = CROPS.map(|percent| format!("{:>8.2}", fastest(percent).0.abs()));
    let difference = fastest(90).1 / calls as f64;
    println!("{name:<34} {samples:>8} {median:>9} {difference:>8.2}   {}", scores.join(" "));
}

/// Welch's t of the two classes, and by how much the means differ; infinite if one of them is not there at all.
fn welch(times: &[(u64, usize)]) -> (f64, f64) {
    if [0, 1].iter().any(|class| times.iter().filter(|(_, of)| of == class).count() < 2) {
        return (f64::INFINITY, f64::INFINITY);
    }
    let [(mean, spread), (other_mean, other_spread)] = [0, 1].map(|class| {
        let of_class = || times.iter().filter(|(_, of)| *of == class).map(|(took, _)| *took as f64);
        let count = of_class().count() as f64;
        let mean = of_class().sum::<f64>() / count;
        let variance = of_class().map(|took| (took - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    let difference = mean - other_mean;
    (difference / (spread + other_spread).sqrt(), difference)
}
