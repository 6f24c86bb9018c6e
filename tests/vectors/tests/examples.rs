//! The worked examples of the specification, byte for byte, in both directions.

use std::convert::Infallible;

use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::{
    Claims, ContentType, Keyset, Kind, NameSet, Policy, ReplayWindow, Sealer, Suite, SuiteSet, TimeWindow,
    Unverified,
};
use taskseal_vectors::example::{self, BODY, Given};
use taskseal_vectors::reader::{self, Vector};

fn vector(name: &str) -> Vector {
    reader::all("envelope").into_iter().find(|vector| vector.name == name).expect("a vector of that name")
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
    for (heading, name) in
        [("### Suite S, 301 bytes", "example_s"), ("### Suite SP, 479 bytes", "example_sp")]
    {
        let (_, section) = specification.split_once(heading).expect("the section");
        let dump =
            section.split("```").nth(1).and_then(|dump| dump.strip_prefix("text\n")).expect("the dump");
        let bytes = vector(name).bytes;
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
