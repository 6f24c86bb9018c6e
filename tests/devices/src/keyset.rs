//! Vectors of signed keysets: verifies the keyset, then queries the rights of its keys.

use taskseal_core::keys::VerifyingKey;
use taskseal_core::keyset::signed::{
    Checkpoint, CurrentKeys, KeysetRefusal, PinnedRoots, UnverifiedKeyset, VerifiedKeyset,
};
use taskseal_core::name::{Audience, Issuer, KeysetName, TaskType};
use taskseal_core::{KeyId, KeyLookup, Kind};

use crate::Transcript;
use crate::text::{Room, Vector, array};

const LINES: &str =
    " expect note by now name root checkpoint capacity stored seals decrypts records recipient ";

/// The operations that a key may perform now.
type Allows = fn(&CurrentKeys<'_, '_>, KeyId) -> bool;

/// Returns the outcome: `accepted`, the code of a refusal, or the line whose value differs.
pub(crate) fn outcome(vector: &Vector<'_>, room: &mut Room, transcript: &mut Transcript) -> &'static str {
    for (name, _) in vector.lines() {
        assert!(LINES.split(' ').any(|line| line == name), "{}: {name}", vector.name);
    }
    let bytes = vector.bytes(&mut room.bytes);
    let outcome = match vector.get("capacity") {
        None => verify::<256>(vector, bytes, transcript),
        Some("1") => verify::<1>(vector, bytes, transcript),
        Some("2") => verify::<2>(vector, bytes, transcript),
        Some(other) => panic!("{}: capacity {other}", vector.name),
    };
    let outcome = outcome.unwrap_or_else(KeysetRefusal::code);
    transcript.add(outcome.as_bytes());
    outcome
}

fn verify<const N: usize>(
    vector: &Vector<'_>,
    bytes: &[u8],
    transcript: &mut Transcript,
) -> Result<&'static str, KeysetRefusal> {
    let checkpoint = vector.get("checkpoint").map(|stored| {
        let stored: [u8; 40] = array(stored);
        Checkpoint::from_bytes(&stored).expect("a checkpoint")
    });
    let mut now = vector.now();
    let unverified = UnverifiedKeyset::parse(bytes)?;
    let keyset: VerifiedKeyset<'_, N> = unverified.verify(&roots(vector), checkpoint.as_ref(), &mut now)?;
    let keys = keyset.at(now)?;
    if vector.expected() != "accepted" {
        return Ok("accepted");
    }

    let stored = keyset.checkpoint().to_bytes();
    transcript.add(&stored);
    if vector.get("stored").map(array) != Some(stored) {
        return Ok("another checkpoint");
    }
    let allows: [(&str, Allows); 3] = [
        ("seals", |keys, kid| keys.sealing_allowed(kid)),
        ("decrypts", |keys, kid| keys.decryption_allowed(kid)),
        ("records", |keys, kid| keys.find(kid).is_some()),
    ];
    for (line, allows) in allows {
        let kids = || keyset.entries().iter().map(|entry| entry.kid()).filter(|kid| allows(&keys, *kid));
        kids().for_each(|kid| transcript.add(kid.as_bytes()));
        let listed = vector.get(line).expect("a list of kids").split(' ').filter(|kid| !kid.is_empty());
        if !listed.map(|kid| KeyId::parse_hex(kid).expect("a kid")).eq(kids()) {
            return Ok("other keys may do something");
        }
    }
    for (_, line) in vector.lines().filter(|line| line.0 == "recipient") {
        let (chosen, expected) = recipient(&keys, line);
        transcript.add(chosen.as_ref().map_or(&[][..], |kid| kid.as_bytes()));
        if chosen != expected {
            return Ok("another recipient");
        }
    }
    Ok("accepted")
}

/// Returns the kid that the keyset chooses for the body of a line, and the one that the line expects.
fn recipient(keys: &CurrentKeys<'_, '_>, line: &str) -> (Option<KeyId>, Option<KeyId>) {
    let mut words = line.split(' ');
    let mut word = || words.next().expect("kind, issuer, type, audience and kid");
    let kind = if word() == "task" { Kind::Task } else { Kind::Result };
    let issuer = Issuer::new(word()).expect("an issuer");
    let task_type = TaskType::new(word()).expect("a type");
    let audience = Audience::new(word()).expect("an audience");
    let expected = match word() {
        "none" => None,
        kid => Some(KeyId::parse_hex(kid).expect("a kid")),
    };
    (keys.recipient_for(kind, issuer, task_type, audience).map(|key| key.kid()), expected)
}

fn roots<'v>(vector: &Vector<'v>) -> PinnedRoots<'v> {
    let name = KeysetName::new(vector.get("name").expect("a name")).expect("a name");
    let mut roots = vector
        .lines()
        .filter(|line| line.0 == "root")
        .map(|line| VerifyingKey::from_point(&array(line.1)).expect("a point on the curve"));
    let first = PinnedRoots::new(name, roots.next().expect("a root"));
    roots.next().map_or(first, |second| first.or(second).expect("another root"))
}
