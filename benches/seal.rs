//! What does an envelope cost beyond its primitives?
//!
//! Per suite and body size: sealing, verifying and opening (parse, verify, admit, decrypt) in CPU microseconds, each
//! beside the primitives of the suite called directly (the same RustCrypto crates: SHA-256, ES256, HMAC, AES-256-GCM
//! with its key setup, ECDH with a fresh key), without envelope, claims, key derivation, policy or replay window.
//! Buffers are made once: nothing is allocated while the clock runs. Rounds take turns; medians are shown.

use std::hint::black_box;

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use hmac::{Hmac, Mac};
use p256::ecdh::diffie_hellman;
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha256};
use taskseal_benches::{Samples, own_cpu_seconds};
use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{
    ContentType, Keyset, NameSet, Policy, ReplayWindow, Sealer, Suite, SuiteSet, TimeWindow, Unverified,
};
use taskseal_tests::example::{self, Counted};

const BODIES: [usize; 3] = [64, 1024, 64 * 1024];
const ROUNDS: usize = 9;
/// CPU time one sample is to take.
const SAMPLE_SECONDS: f64 = 0.02;

fn main() {
    println!("CPU us, median of {ROUNDS} rounds; (x) is the ratio to the bare primitives");
    println!(
        "{:<6} {:>7} {:>9} {:>9} {:>6} {:>11} {:>9} {:>6} {:>9} {:>6}   {:<17} open min-max",
        "suite",
        "body",
        "overhead",
        "seal",
        "(x)",
        "seal/s/core",
        "verify",
        "(x)",
        "open",
        "(x)",
        "seal min-max"
    );
    for suite in Suite::ALL {
        for body in BODIES {
            measure(suite, body);
        }
    }
}

fn measure(suite: Suite, len: usize) {
    let (producer, mut worker) = (example::producer(), example::worker());
    let (mac, shared) = (example::mac_key(), example::encryption_key());
    let (verifying, recipient) = (producer.verifying_key(), worker.public_key());
    let claims = example::plain_claims();
    let body = vec![0xa5; len];
    let (mut envelope, mut buffer) = (vec![0; len + 1024], vec![0; len]);
    let mut rng = Counted(0);
    let mut seal = |out: &mut [u8]| -> usize {
        let (claims, content_type) = (black_box(&claims), ContentType::JSON);
        let sealed = match suite {
            Suite::S => Sealer::sign(&producer).seal(claims, content_type, &body, &mut rng, out),
            Suite::M => Sealer::authenticate(&mac).seal(claims, content_type, &body, &mut rng, out),
            Suite::E => Sealer::encrypt(&shared).seal(claims, content_type, &body, &mut rng, out),
            Suite::Se => {
                Sealer::sign_encrypt(&producer, &shared).seal(claims, content_type, &body, &mut rng, out)
            }
            _ => Sealer::sign_encrypt_to(&producer, &recipient).seal(
                claims,
                content_type,
                &body,
                &mut rng,
                out,
            ),
        };
        sealed.expect("consistent claims").len()
    };
    let sealed_len = seal(&mut envelope);
    let sealed = envelope.get(..sealed_len).expect("it was written").to_vec();

    let mut keyset = Keyset::<1>::new();
    let key = match suite {
        Suite::M => RecordKey::Hmac256(&mac),
        Suite::E => RecordKey::A256Gcm(&shared),
        _ => RecordKey::Es256(&verifying),
    };
    let record = KeyRecord::new(key).issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY);
    keyset.insert(record).expect("a free place");
    let mut policy = Policy::for_tasks(claims.audience);
    policy.suites = SuiteSet::NONE.with(suite);
    let verify = || {
        let mut now = TimeWindow::exact(example::ISSUED_AT);
        Unverified::parse(black_box(&sealed)).expect("an envelope").verify(&keyset, &policy, &mut now)
    };
    let mut open = |buffer: &mut [u8]| {
        let verified = verify().expect("authentic");
        let admitted = verified.admit(&mut ReplayWindow::<1>::new()).expect("a first run");
        let opened = match suite {
            Suite::Sp => admitted.open(&mut worker, buffer),
            _ => admitted.open(&mut &shared, buffer),
        };
        black_box(opened.expect("the right key").body().len());
    };
    let bare = Bare::new(suite, &body);
    let (mut work, mut opened) = (vec![0; len], vec![0; len]);

    let mut samples: [Samples; 6] = Default::default();
    for _ in 0..ROUNDS {
        let [seals, bare_seals, verifies, bare_verifies, opens, bare_opens] = &mut samples;
        seals.push(time(|| {
            black_box(seal(&mut envelope));
        }));
        bare_seals.push(time(|| {
            black_box(bare.seal(&body, &mut work));
        }));
        verifies.push(time(|| {
            black_box(verify().is_ok());
        }));
        bare_verifies.push(time(|| bare.verify()));
        opens.push(time(|| open(&mut buffer)));
        bare_opens.push(time(|| {
            bare.verify();
            bare.decrypt(&mut opened);
        }));
    }
    let [seals, bare_seals, verifies, bare_verifies, opens, bare_opens] = &samples;
    let ratio = |ours: &Samples, theirs: &Samples| ours.median() / theirs.median();
    let verify_ratio = match suite {
        Suite::E => "-".to_owned(),
        _ => format!("{:.2}", ratio(verifies, bare_verifies)),
    };
    println!(
        "{:<6} {len:>7} {:>9} {:>9.2} {:>6.2} {:>11.0} {:>9.2} {:>6} {:>9.2} {:>6.2}   {:<17} {}",
        suite.short_name(),
        sealed_len - len,
        seals.median(),
        ratio(seals, bare_seals),
        1e6 / seals.median(),
        verifies.median(),
        verify_ratio,
        opens.median(),
        ratio(opens, bare_opens),
        seals.spread(),
        opens.spread(),
    );
}

/// CPU microseconds a call.
fn time(mut call: impl FnMut()) -> f64 {
    let mut calls: u32 = 1;
    loop {
        let start = own_cpu_seconds();
        (0..calls).for_each(|_| call());
        let took = own_cpu_seconds() - start;
        if took >= SAMPLE_SECONDS {
            return took * 1e6 / f64::from(calls);
        }
        calls *= 2;
    }
}

/// The primitives of a suite, and what they made of the body.
struct Bare {
    suite: Suite,
    signing: SigningKey,
    recipient: p256::SecretKey,
    ephemeral: p256::SecretKey,
    /// Made once: a secret key computes its public one each time it is asked.
    recipient_public: p256::PublicKey,
    ephemeral_public: p256::PublicKey,
    carried: Vec<u8>,
    signature: [u8; 64],
    tag: [u8; 16],
}

const KEY: [u8; 32] = [7; 32];
const IV: [u8; 12] = [9; 12];

impl Bare {
    fn new(suite: Suite, body: &[u8]) -> Self {
        let secret =
            |label| p256::SecretKey::from_slice(example::scalar(label).as_bytes()).expect("a scalar");
        let mut bare = Self {
            suite,
            signing: SigningKey::from_slice(example::scalar("signing").as_bytes()).expect("a scalar"),
            recipient_public: secret("recipient").public_key(),
            ephemeral_public: secret("ephemeral").public_key(),
            recipient: secret("recipient"),
            ephemeral: secret("ephemeral"),
            carried: vec![0; body.len()],
            signature: [0; 64],
            tag: [0; 16],
        };
        let mut carried = std::mem::take(&mut bare.carried);
        (bare.signature, bare.tag) = bare.seal(body, &mut carried);
        bare.carried = carried;
        bare
    }

    /// Signature, or code in its first half; tag.
    fn seal(&self, body: &[u8], out: &mut [u8]) -> ([u8; 64], [u8; 16]) {
        out.copy_from_slice(body);
        let mut tag = [0; 16];
        if self.suite.encrypts() {
            let mut key = KEY;
            if self.suite == Suite::Sp {
                let ephemeral =
                    p256::SecretKey::from_slice(black_box(&self.ephemeral.to_bytes())).expect("a scalar");
                black_box(ephemeral.public_key());
                key = agreed(&ephemeral, &self.recipient_public);
            }
            let cipher = Aes256Gcm::new(&key.into());
            tag = cipher.encrypt_inout_detached(&IV.into(), &[], (&mut *out).into()).expect("short").into();
        }
        (self.authenticate(out), tag)
    }

    fn authenticate(&self, carried: &[u8]) -> [u8; 64] {
        match self.suite {
            // The tag of GCM is all there is.
            Suite::E => [0; 64],
            Suite::M => {
                let mut code = [0; 64];
                let (first, _) = code.split_at_mut(32);
                first.copy_from_slice(&mac(carried));
                code
            }
            _ => {
                let signature: Signature =
                    self.signing.sign_prehash(&Sha256::digest(carried)).expect("long enough");
                signature.to_bytes().into()
            }
        }
    }

    fn verify(&self) {
        match self.suite {
            // Its tag is checked by decrypting.
            Suite::E => {}
            Suite::M => assert!(black_box(mac(&self.carried)).as_slice() == self.signature.split_at(32).0),
            _ => {
                let signature = Signature::from_slice(&self.signature).expect("a signature");
                let digest = Sha256::digest(black_box(&self.carried));
                self.signing.verifying_key().verify_prehash(&digest, &signature).expect("authentic");
            }
        }
    }

    fn decrypt(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.carried);
        if self.suite.encrypts() {
            let mut key = KEY;
            if self.suite == Suite::Sp {
                key = agreed(&self.recipient, black_box(&self.ephemeral_public));
            }
            let cipher = Aes256Gcm::new(&key.into());
            cipher
                .decrypt_inout_detached(&IV.into(), &[], (&mut *out).into(), &self.tag.into())
                .expect("authentic");
        }
        black_box(out);
    }
}

fn agreed(secret: &p256::SecretKey, peer: &p256::PublicKey) -> [u8; 32] {
    let shared = diffie_hellman(secret.to_nonzero_scalar(), peer.as_affine());
    shared.raw_secret_bytes().as_slice().try_into().expect("a coordinate has 32 bytes")
}

fn mac(bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("any length");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}
