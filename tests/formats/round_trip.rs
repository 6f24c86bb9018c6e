//! A sealed task opens to the same claims and body, for all claims, bodies and suites.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::string::string_regex;
use taskseal_core::claims::{ClockSource, MAX_TIME};
use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, Keyset, Kind, NameSet, Policy, ReplayWindow, Sealer, Suite,
    SuiteSet, TaskId, TaskType, TimeWindow, Unverified,
};
use taskseal_tests::example::{self, Counted};

/// Claims that own their texts.
#[derive(Clone, Debug)]
struct Owned {
    names: [String; 3],
    id: [u8; 16],
    times: (u64, u64, Option<u64>),
    clock: ClockSource,
    sequence: Option<(u32, u64)>,
    numbers: [Option<u32>; 4],
    attempts: Option<u16>,
    trace: Option<[u8; 25]>,
    reference: Option<String>,
    request: Option<[u8; 32]>,
}

impl Owned {
    fn claims(&self) -> Claims<'_> {
        let [issuer, task_type, audience] = &self.names;
        let mut claims = Claims::new(
            Issuer::new(issuer).expect("a name"),
            TaskType::new(task_type).expect("a name"),
            Audience::new(audience).expect("a name"),
            TaskId::from_bytes(self.id),
        )
        .clock(self.clock);
        if let Some((epoch, counter)) = self.sequence {
            claims = claims.sequence(epoch, counter);
        }
        [claims.schema, claims.timeout, claims.retention, claims.ttl] = self.numbers;
        if self.clock == ClockSource::None {
            claims.sequence = claims.sequence.or(claims.sequence(0, 0).sequence);
        } else {
            claims = claims.issued_at(self.times.0).expires_at(self.times.1);
            (claims.not_before, claims.ttl) = (self.times.2, None);
        }
        if self.clock == ClockSource::Beacon {
            claims = claims.beacon([7; 8]);
        }
        claims.attempts = self.attempts;
        claims.trace = self.trace;
        let reference = self.reference.as_deref();
        claims.reference = reference.map(|text| taskseal_core::name::Reference::new(text).expect("a name"));
        claims.request = self.request;
        claims
    }

    fn kind(&self) -> Kind {
        if self.request.is_some() { Kind::Result } else { Kind::Task }
    }
}

fn name(most: usize) -> impl Strategy<Value = String> {
    string_regex(&format!("[!-~]{{1,{most}}}")).expect("a pattern")
}

fn owned() -> impl Strategy<Value = Owned> {
    let time = prop_oneof![0..300_u64, 1_700_000_000..1_800_000_000_u64, MAX_TIME - 300..MAX_TIME];
    let clock = prop_oneof![4 => Just(ClockSource::Synchronised), 1 => Just(ClockSource::Beacon), 1 => Just(ClockSource::None)];
    let numbers = proptest::array::uniform4(option::of(any::<u32>()));
    let names = [name(64).boxed(), name(128).boxed(), name(128).boxed()];
    let times = (time, 1..3600_u64, option::of(0..3600_u64)).prop_map(|(issued, lifetime, delay)| {
        let expires = (issued + lifetime).min(MAX_TIME - 1);
        (issued, expires, delay.map(|delay| (issued + delay).min(expires)))
    });
    let rest = (
        option::of(any::<(u32, u64)>()),
        (numbers, option::of(1..=u16::MAX)),
        option::of(proptest::array::uniform(any::<u8>())),
        option::of(name(64)),
        option::weighted(0.2, proptest::array::uniform(any::<u8>())),
    );
    (names, any::<[u8; 16]>(), times, clock, rest).prop_map(
        |(names, id, times, clock, (sequence, (numbers, attempts), trace, reference, request))| Owned {
            names,
            id,
            times,
            clock,
            sequence,
            numbers,
            attempts,
            trace,
            reference,
            request,
        },
    )
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..400), 1 => vec(any::<u8>(), 65_500..65_560)]
}

fn content_type() -> impl Strategy<Value = String> {
    string_regex("[!-.0-~]{1,31}/[!-.0-~]{1,32}").expect("a pattern")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sealed_opens_to_the_same(
        owned in owned(),
        body in body(),
        content_type in content_type(),
        suite in proptest::sample::select(Suite::ALL.to_vec()),
        seed in any::<u32>(),
    ) {
        let (claims, content_type) = (owned.claims(), ContentType::new(&content_type).expect("a media type"));
        let (producer, mut worker) = (example::producer(), example::worker());
        let (mac, shared) = (example::mac_key(), example::encryption_key());
        let (verifying, recipient) = (producer.verifying_key(), worker.public_key());
        let mut rng = Counted(u64::from(seed));
        let mut buffer = vec![0; body.len() + 1024];

        macro_rules! seal {
            ($sealer:expr) => {{
                let mut sealer = $sealer.kind(owned.kind());
                let len = sealer.sealed_len(&claims, content_type, body.len());
                let sealed = sealer.seal(&claims, content_type, &body, &mut rng, &mut buffer).expect("consistent claims");
                prop_assert_eq!(sealed.len(), len);
                sealed.to_vec()
            }};
        }
        let (sealed, key) = match suite {
            Suite::S => (seal!(Sealer::sign(&producer)), RecordKey::Es256(&verifying)),
            Suite::M => (seal!(Sealer::authenticate(&mac)), RecordKey::Hmac256(&mac)),
            Suite::E => (seal!(Sealer::encrypt(&shared)), RecordKey::A256Gcm(&shared)),
            Suite::Se => (seal!(Sealer::sign_encrypt(&producer, &shared)), RecordKey::Es256(&verifying)),
            _ => (seal!(Sealer::sign_encrypt_to(&producer, &recipient)), RecordKey::Es256(&verifying)),
        };

        let mut keyset = Keyset::<1>::new();
        let record = KeyRecord::new(key).kind(owned.kind()).issuers(NameSet::ANY).types(NameSet::ANY);
        keyset.insert(record.audiences(NameSet::ANY)).expect("a free place");
        let mut policy = Policy::for_tasks(claims.audience);
        (policy.kind, policy.request) = (owned.kind(), owned.request);
        policy.suites = SuiteSet::NONE.with(suite);
        (policy.accept_beacon, policy.accept_clockless) = (true, true);
        let now = &mut TimeWindow::exact(claims.not_before.unwrap_or(0).max(claims.issued_at.unwrap_or(0)));
        let verified = Unverified::parse(&sealed).expect("well-formed").verify(&keyset, &policy, now).expect("valid");
        prop_assert_eq!(verified.suite(), suite);
        prop_assert_eq!(verified.body_len(), body.len());
        let admitted = verified.admit(&mut ReplayWindow::<1>::new()).expect("a first run");
        let mut buffer = vec![0; body.len()];
        let opened = match suite {
            Suite::Sp => admitted.open(&mut worker, &mut buffer),
            _ => admitted.open(&mut &shared, &mut buffer),
        };
        let opened = opened.expect("the right key");

        prop_assert_eq!(opened.body(), body.as_slice());
        prop_assert_eq!(opened.claims(), &claims);
        prop_assert_eq!(opened.content_type(), content_type);
    }
}
