//! Every vector of `vectors/envelope`: what must be accepted, and what must be refused with which code.

use std::collections::BTreeSet;

use taskseal_core::{OpenError, Refusal};
use taskseal_tests::example::hex;
use taskseal_tests::vectors;

#[test]
fn every_vector_comes_to_what_it_says() {
    let mut wrong = Vec::new();
    for vector in vectors::all("envelope") {
        let outcome = match vector.open() {
            Ok(body) if Some(&body) == vector.get("body").map(hex).as_ref() => "accepted",
            Ok(_) => "another body",
            Err(OpenError::Refused(refusal)) => refusal.code(),
            Err(error) => panic!("{}: {error}", vector.name),
        };
        if outcome != vector.expected() {
            wrong.push(format!("{}: {outcome} instead of {}", vector.name, vector.expected()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_refusal_that_an_envelope_can_meet_has_a_vector() {
    let vectors = vectors::all("envelope");
    let covered: BTreeSet<_> = vectors.iter().filter_map(|v| Refusal::from_code(v.expected())).collect();
    let of_the_queue = [Refusal::MetadataMismatch, Refusal::Poisonous];
    let missing: Vec<_> = Refusal::ALL.iter().filter(|refusal| !covered.contains(refusal)).collect();
    assert_eq!(missing, of_the_queue.iter().collect::<Vec<_>>(), "only queues can give these");
    assert!(vectors.iter().all(|v| v.expected() == "accepted" || Refusal::from_code(v.expected()).is_some()));
}

#[test]
fn no_two_vectors_are_the_same() {
    let vectors = vectors::all("envelope");
    let distinct: BTreeSet<_> = vectors.iter().map(|vector| (&vector.lines, &vector.bytes)).collect();
    assert_eq!(distinct.len(), vectors.len());
}
