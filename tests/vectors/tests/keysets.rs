//! Every vector of signed keysets has its expected outcome, and every refusal code has a vector.

use std::collections::BTreeSet;

use taskseal_core::keyset::signed::KeysetRefusal;
use taskseal_vectors::example::hex;
use taskseal_vectors::keysets::{self, KeysetVector};

#[test]
fn every_keyset_has_its_expected_outcome() {
    let mut wrong = Vec::new();
    for vector in keysets::all() {
        let outcome = match vector.verify() {
            Ok(outcome) if vector.expected() == "accepted" => {
                assert_eq!(outcome, vector.outcome(), "{}", vector.name);
                "accepted"
            }
            Ok(_) => "accepted",
            Err(refusal) => refusal.code(),
        };
        if outcome != vector.expected() {
            wrong.push(format!("{}: {outcome} instead of {}", vector.name, vector.expected()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_refusal_of_a_keyset_has_a_vector() {
    let vectors = keysets::all();
    let covered: BTreeSet<_> = vectors.iter().map(KeysetVector::expected).collect();
    for refusal in KeysetRefusal::ALL {
        assert!(covered.contains(refusal.code()), "{refusal}");
    }
    assert_eq!(covered.len(), KeysetRefusal::ALL.len() + 1, "nothing else is expected");
}

#[test]
fn the_examples_are_those_of_the_specification() {
    let specification = include_str!("../../../core/docs/keyset.md");
    let block = |heading: &str| {
        let (_, below) = specification.split_once(heading).expect("the section");
        below.split("```").nth(1).and_then(|block| block.strip_prefix("text\n")).expect("a block")
    };
    let example =
        |name| keysets::all().into_iter().find(|vector| vector.name == name).expect("an example").bytes;
    assert_eq!(example("example_1"), hex(block("### Sequence number 1,")));
    let annotated = block("### Sequence number 2,").lines().flat_map(|line| {
        let (_, rest) = line.trim_start().split_once(' ').expect("an offset");
        hex(rest.trim_start().split(' ').next().expect("bytes"))
    });
    assert_eq!(example("example_2"), annotated.collect::<Vec<_>>());
}
