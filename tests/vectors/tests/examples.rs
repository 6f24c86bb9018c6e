//! The worked examples of the specification, byte for byte, in both directions.

use std::convert::Infallible;
use std::fmt::Debug;

use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::seal::SigningMode;
use taskseal_core::{
    Claims, ContentType, Keyset, Kind, NameSet, Policy, ReplayWindow, Sealer, Signer, Suite, SuiteSet,
    TaskId, TimeWindow, Unverified,
};
use taskseal_vectors::example::{self, BODY, Given};
use taskseal_vectors::reader::{self, Vector};
use taskseal_vectors::tree::Node;
use taskseal_vectors::{cose, merkle};

fn vector(name: &str) -> Vector {
    vector_of("envelope", name)
}

fn vector_of(area: &str, name: &str) -> Vector {
    reader::all(area).into_iter().find(|vector| vector.name == name).expect("a vector of that name")
}

/// Takes the place of a source of randomness where nothing may be drawn.
fn nothing() -> Given {
    Given(Vec::new())
}

/// Opens an example and compares everything in it.
fn opens(bytes: &[u8], key: RecordKey<'_>, suite: Suite, keys: &mut impl DecryptionKeys) {
    let mut keyset = Keyset::<1>::new();
    let record = KeyRecord::new(key).issuers(NameSet::new("sensor-gw-07"));
    keyset
        .insert(record.types(NameSet::new("email:*")).audiences(NameSet::new("prod/*")))
        .expect("a free place");
    let claims = example::claims();
    let mut policy = Policy::for_tasks(claims.audience);
    policy.suites = SuiteSet::NONE.with(suite);
    let mut buffer = [0; 64];

    let opened = Unverified::parse(bytes)
        .and_then(|task| task.verify(&keyset, &policy, &mut TimeWindow::exact(example::ISSUED_AT)))
        .and_then(|task| task.admit(&mut ReplayWindow::<1>::new()))
        .and_then(|task| task.open(keys, &mut buffer))
        .expect("a valid example");

    assert_eq!(opened.body(), BODY);
    assert_eq!(opened.claims(), &claims);
    assert_eq!(opened.content_type(), ContentType::JSON);
    assert_eq!(opened.verified().suite(), suite);
    assert_eq!(opened.verified().digest(), &example::sha256(bytes));
}

#[test]
fn suite_s_is_byte_exact() {
    let (mut signer, expected) = (example::producer(), vector("example_s").bytes);
    let mut buffer = [0xaa; 301];

    let mut sealer = Sealer::sign(&mut signer);
    let sealed =
        sealer.seal(&example::claims(), ContentType::JSON, BODY, &mut nothing(), &mut buffer).unwrap();

    assert_eq!(sealed, expected);
    opens(sealed, RecordKey::Es256(&example::producer().verifying_key()), Suite::S, &mut ());
}

#[test]
fn suite_m_is_byte_exact() {
    let (key, expected) = (example::mac_key(), vector("example_m").bytes);
    let mut buffer = [0xaa; 269];

    let mut sealer = Sealer::authenticate(&key);
    let sealed =
        sealer.seal(&example::claims(), ContentType::JSON, BODY, &mut nothing(), &mut buffer).unwrap();

    assert_eq!(sealed, expected);
    opens(sealed, RecordKey::Hmac256(&key), Suite::M, &mut ());
}

#[test]
fn suite_e_is_byte_exact() {
    let (key, expected) = (example::encryption_key(), vector("example_e").bytes);
    let (mut rng, mut buffer) = (example::shared_randomness(), [0xaa; 320]);

    let mut sealer = Sealer::encrypt(&key);
    let sealed = sealer.seal(&example::claims(), ContentType::JSON, BODY, &mut rng, &mut buffer).unwrap();

    assert_eq!(sealed, expected);
    assert!(rng.0.is_empty());
    opens(sealed, RecordKey::A256Gcm(&key), Suite::E, &mut &key);
}

#[test]
fn suite_se_is_byte_exact() {
    let (mut signer, key, expected) =
        (example::producer(), example::encryption_key(), vector("example_se").bytes);
    let (mut rng, mut buffer) = (example::shared_randomness(), [0xaa; 408]);

    let mut sealer = Sealer::sign_encrypt(&mut signer, &key);
    let sealed = sealer.seal(&example::claims(), ContentType::JSON, BODY, &mut rng, &mut buffer).unwrap();

    assert_eq!(sealed, expected);
    assert!(rng.0.is_empty());
    opens(sealed, RecordKey::Es256(&example::producer().verifying_key()), Suite::Se, &mut &key);
}

#[test]
fn suite_sp_is_byte_exact() {
    let (mut signer, mut worker, expected) =
        (example::producer(), example::worker(), vector("example_sp").bytes);
    let (mut rng, mut buffer) = (example::agreed_randomness(), [0xaa; 479]);

    let recipient = worker.public_key();
    let mut sealer = Sealer::sign_encrypt_to(&mut signer, &recipient);
    let sealed = sealer.seal(&example::claims(), ContentType::JSON, BODY, &mut rng, &mut buffer).unwrap();

    assert_eq!(sealed, expected);
    assert!(rng.0.is_empty());
    opens(sealed, RecordKey::Es256(&example::producer().verifying_key()), Suite::Sp, &mut worker);
}

#[test]
fn the_result_is_byte_exact_and_bound_to_its_request() {
    let request = example::sha256(&vector("example_s").bytes);
    let mut claims: Claims<'_> = example::plain_claims()
        .issued_at(example::ISSUED_AT + 60)
        .expires_at(example::EXPIRES_AT + 86_400)
        .request(request);
    claims.issuer = taskseal_core::Issuer::new("worker-1").unwrap();
    let (mut signer, mut buffer) = (example::worker_signer(), [0xaa; 271]);
    let key = signer.verifying_key();

    let mut sealer = Sealer::sign(&mut signer).kind(Kind::Result);
    let sealed =
        sealer.seal(&claims, ContentType::JSON, br#"{"sent":true}"#, &mut nothing(), &mut buffer).unwrap();

    assert_eq!(sealed, vector("example_result").bytes);
    let mut keyset = Keyset::<1>::new();
    let record = KeyRecord::new(RecordKey::Es256(&key)).kind(Kind::Result).issuers(NameSet::new("worker-1"));
    keyset.insert(record.types(NameSet::ANY).audiences(NameSet::ANY)).unwrap();
    let mut policy = Policy::for_result(claims.audience, request);
    policy.suites = SuiteSet::NONE.with(Suite::S);
    let now = &mut TimeWindow::exact(example::ISSUED_AT + 60);
    let verified = Unverified::parse(sealed).unwrap().verify(&keyset, &policy, now).unwrap();
    let opened = verified.open_result(&mut (), &mut []).unwrap();
    assert_eq!(opened.body(), br#"{"sent":true}"#);
    assert_eq!(opened.claims(), &claims);
}

/// The claims of a task of the example of form B.
fn batch_claims(index: u8) -> Claims<'static> {
    let mut claims = example::plain_claims();
    let mut id = *claims.task_id.as_bytes();
    id[15] = index;
    claims.task_id = TaskId::from_bytes(id);
    claims
}

/// A batch of five, sealed by the library with what it is given to draw.
fn batch_of_five<M: SigningMode>(mut sealer: Sealer<M>, mut rng: Given) -> Vec<Vec<u8>>
where
    <M::Signer as Signer>::Error: Debug,
{
    let mut batch = sealer.batch::<5>();
    let pending: Vec<_> = (0..5)
        .map(|index| {
            let mut buffer = vec![0; 800];
            let claims = batch_claims(index);
            let task = batch
                .add(&claims, ContentType::JSON, BODY, &mut rng, &mut buffer)
                .expect("consistent claims");
            (task, buffer)
        })
        .collect();
    let signed = batch.sign().expect("five tasks");
    assert!(rng.0.is_empty());
    let finish = |(task, mut buffer): (_, Vec<u8>)| signed.finish(task, &mut buffer).expect("room").to_vec();
    pending.into_iter().map(finish).collect()
}

#[test]
fn batches_are_byte_exact() {
    let mut signer = example::producer();
    let sealed = batch_of_five(Sealer::sign(&mut signer), nothing());
    for (index, name) in [(0, "size_5_first"), (3, "example_b"), (4, "size_5_promoted")] {
        assert_eq!(sealed[index], vector_of("batch", name).bytes, "{name}");
    }

    // Suite SE draws salt and IV for each task; in the vectors the salt stays and the IV counts.
    let mut drawn = Vec::new();
    for index in 0..5 {
        drawn.extend(example::shared_randomness().0);
        *drawn.last_mut().unwrap() += index;
    }
    let key = example::encryption_key();
    let sealed = batch_of_five(Sealer::sign_encrypt(&mut signer, &key), Given(drawn));
    assert_eq!(sealed[0], vector_of("batch", "suite_se_first").bytes);
    assert_eq!(sealed[4], vector_of("batch", "suite_se_promoted").bytes);

    // Suite SP draws scalar and IV for the batch, and for each later task what the counter leaves of the IV; in the
    // vectors that stays.
    let mut drawn = example::agreed_randomness().0;
    let uncounted = drawn[32..40].repeat(4);
    drawn.extend(uncounted);
    let recipient = example::worker().public_key();
    let sealer = Sealer::sign_encrypt_to(&mut signer, &recipient);
    let sealed = batch_of_five(sealer, Given(drawn));
    assert_eq!(sealed[0], vector_of("batch", "suite_sp_first").bytes);
    assert_eq!(sealed[4], vector_of("batch", "suite_sp_last").bytes);
}

#[test]
fn detached_bodies_are_byte_exact() {
    let (mut signer, key, mut buffer) = (example::producer(), example::mac_key(), [0xaa; 248]);
    let claims = example::claims();

    let sealed =
        Sealer::sign(&mut signer).seal_detached(&claims, ContentType::JSON, BODY, &mut buffer).unwrap();
    assert_eq!(sealed, vector_of("detached", "example_s").bytes);

    let sealed =
        Sealer::authenticate(&key).seal_detached(&claims, ContentType::JSON, BODY, &mut buffer).unwrap();
    assert_eq!(sealed, vector_of("detached", "example_m").bytes);
}

#[test]
fn the_overhead_of_a_batch_is_what_the_specification_says() {
    let (signer, key) = (example::producer(), example::encryption_key());
    let (recipient, claims) = (example::worker().public_key(), example::plain_claims());
    let (s, se) = (Sealer::sign(&signer), Sealer::sign_encrypt(&signer, &key));
    let sp = Sealer::sign_encrypt_to(&signer, &recipient);
    let specification = include_str!("../../../core/docs/envelope.md");
    for size in [1_usize, 16, 64, 256, 1024] {
        let [s, se, sp] = [
            s.batched_len(&claims, ContentType::JSON, BODY.len(), size),
            se.batched_len(&claims, ContentType::JSON, BODY.len(), size),
            sp.batched_len(&claims, ContentType::JSON, BODY.len(), size),
        ]
        .map(|len| len - BODY.len());
        let line = format!("| {size} | {} | {s} | {se} | {sp} |\n", size.ilog2());
        assert!(specification.contains(&line), "{line}");
    }
    // The last of the largest batch is as long as that.
    assert_eq!(
        s.batched_len(&claims, ContentType::JSON, BODY.len(), 1024),
        vector_of("batch", "size_1024_last").bytes.len()
    );
}

#[test]
fn the_digest_and_the_root_of_the_batch_in_the_text_are_right() {
    let bytes = vector_of("batch", "example_b").bytes;
    let tree = Node::of_envelope(&bytes);
    let field = |path: &[usize]| tree.get(path).and_then(Node::string_content).expect("a byte string");
    let leaves: Vec<_> = ["size_5_first", "example_b", "size_5_promoted"]
        .map(|name| {
            let tree = Node::of_envelope(&vector_of("batch", name).bytes);
            let part = |index: usize| tree.get(&[index]).and_then(Node::string_content).expect("a part");
            merkle::leaf(&cose::structure("Signature1", &[&part(0), b"", &part(1)]))
        })
        .into();
    // Up from the fourth leaf, by hand: its sibling, the first two, the fifth.
    let node = |left: &[u8], right: &[u8]| example::sha256(&[&[1], left, right].concat());
    let path = [2, 0, 0, 1, 1, 1, 0, 0, 2];
    let hash = |index: usize| field(&[path.as_slice(), &[index]].concat());
    let root = node(&node(&hash(1), &node(&hash(0), &leaves[1])), &hash(2));
    assert_eq!(hash(2), leaves[2]);

    let header = field(&[2, 0, 0, 0]);
    let digest = example::sha256(&cose::structure("Signature1", &[&header, b"", &root]));
    let specification = include_str!("../../../core/docs/envelope.md");
    for hash in [digest, root] {
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(specification.contains(&format!("`{digits}`")), "{digits}");
    }
}

#[test]
fn kids_are_thumbprints_of_the_keys() {
    assert_eq!(example::producer().verifying_key().kid().to_string(), "9ffa76fec6561675");
    assert_eq!(example::worker().public_key().kid().to_string(), "5587cfa588c35f20");
    assert_eq!(example::worker_signer().verifying_key().kid().to_string(), "b866cb4ecc2e5635");
    assert_eq!(example::mac_key().kid().to_string(), "6d61630000000001");
    assert_eq!(example::encryption_key().kid().to_string(), "656e630000000001");
}

#[test]
fn a_signer_without_errors_seals_without_errors() {
    fn error_of<M: taskseal_core::seal::Mode<Error = Infallible>>(_: &Sealer<M>) {}
    error_of(&Sealer::sign(&mut example::producer()));
    error_of(&Sealer::authenticate(&example::mac_key()));
}

#[test]
fn the_annotated_bytes_of_the_specification_are_those_of_the_examples() {
    let specification = include_str!("../../../core/docs/envelope.md");
    for (heading, area, name) in [
        ("### Suite S, 301 bytes", "envelope", "example_s"),
        ("### Suite SP, 479 bytes", "envelope", "example_sp"),
        ("### Form B, 451 bytes", "batch", "example_b"),
    ] {
        let (_, section) = specification.split_once(heading).expect("the section");
        let dump =
            section.split("```").nth(1).and_then(|dump| dump.strip_prefix("text\n")).expect("the dump");
        let bytes = vector_of(area, name).bytes;
        let mut next = 0;
        for line in dump.lines() {
            let (offset, rest) = line.split_at(4);
            let offset: usize = offset.trim().parse().expect("an offset");
            // Bytes end at two spaces before their meaning; a shortened string shows its beginning and its end.
            let shown = rest.trim_start().split("  ").next().expect("bytes");
            let (beginning, end) = shown.split_once('…').unwrap_or((shown, ""));
            let (beginning, end) = (example::hex(beginning), example::hex(end));
            assert_eq!(offset, next, "{line}");
            assert!(bytes[offset..].starts_with(&beginning), "{line}");
            next += match line.split_once('"').and_then(|(_, text)| text.strip_suffix('"')) {
                Some(text) if !bytes[offset..offset + beginning.len()].ends_with(text.as_bytes()) => {
                    assert!(bytes[offset + beginning.len()..].starts_with(text.as_bytes()), "{line}");
                    beginning.len() + text.len()
                }
                _ if end.is_empty() => beginning.len(),
                _ => bytes[offset..].windows(2).position(|pair| pair == end).expect("its end") + 2,
            };
        }
        assert_eq!(next, bytes.len());
    }
}
