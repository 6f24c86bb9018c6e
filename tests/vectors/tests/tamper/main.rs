//! Exhaustive tampering: whatever is changed in a valid envelope, nothing of it is accepted.
//!
//! Bits, bytes, lengths and heads of the outer object, of the header inside it, of the encrypted object inside that
//! and of the receipt with its header and proof; and every field exchanged with the same field of another valid
//! envelope. Suites one by one, in batches, and with a detached body. What still decodes is proved to say something
//! else: by another codec it is the canonical spelling of another tree, down to what is inside byte strings.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use taskseal_core::keys::SigningKey;
use taskseal_core::{Kind, OpenError, Refusal, Signer, TimeWindow, Unverified};
use taskseal_vectors::example::{self, BODY, sha256};
use taskseal_vectors::tree::Node;

use self::world::{Case, SHORTER, World, parse};

/// What became of mutants.
#[derive(Default)]
struct Tally {
    malformed: usize,
    refused: usize,
    accepted: Vec<String>,
    /// Decoded, and not shown to mean something else.
    ambiguous: Vec<String>,
}

/// Opens every mutant on all processors. A mutant that is one of the originals is none.
fn tally(world: &World, mutants: &[Case]) -> Tally {
    let originals: BTreeSet<_> =
        world.envelopes().into_iter().map(|case| (case.bytes, case.beside)).collect();
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let share = mutants.len().div_ceil(threads).max(1);
    let judge = |part: &[Case]| {
        let mut tally = Tally::default();
        for case in part.iter().filter(|case| !originals.contains(&(case.bytes.clone(), case.beside.clone())))
        {
            if case.bytes != case.original && parse(case).is_ok() && !case.means_something_else() {
                tally.ambiguous.push(case.name.clone());
            }
            match world.accepts(case) {
                Err(OpenError::Refused(Refusal::Malformed | Refusal::Unsealed | Refusal::TooLarge)) => {
                    tally.malformed += 1;
                }
                Err(_) => tally.refused += 1,
                Ok(_) => tally.accepted.push(case.name.clone()),
            }
        }
        tally
    };
    thread::scope(|scope| {
        let parts: Vec<_> = mutants.chunks(share).map(|part| scope.spawn(move || judge(part))).collect();
        parts.into_iter().fold(Tally::default(), |mut sum, part| {
            let part = part.join().expect("no panic while opening");
            sum.malformed += part.malformed;
            sum.refused += part.refused;
            sum.accepted.extend(part.accepted);
            sum.ambiguous.extend(part.ambiguous);
            sum
        })
    })
}

fn assert_none_accepted(what: &str, world: &World, mutants: &[Case]) {
    let tally = tally(world, mutants);
    println!(
        "{what}: {} mutants, {} not well-formed, {} refused later, {} accepted",
        tally.malformed + tally.refused + tally.accepted.len(),
        tally.malformed,
        tally.refused,
        tally.accepted.len()
    );
    assert!(tally.accepted.is_empty(), "{:?}", tally.accepted);
    assert!(tally.ambiguous.is_empty(), "{:?}", tally.ambiguous);
    assert!(tally.malformed + tally.refused > 0);
}

/// Bytes put in where none belong.
const INSERTED: [u8; 6] = [0x00, 0xff, 0x18, 0x40, 0xa0, 0xf6];

/// Every byte deleted, and every byte of [`INSERTED`] inserted at every place.
fn edits(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let deleted = (0..bytes.len()).map(|at| {
        let mut mutant = bytes.to_vec();
        mutant.remove(at);
        (format!("without byte {at}"), mutant)
    });
    let inserted = (0..=bytes.len()).flat_map(move |at| {
        INSERTED.iter().map(move |byte| {
            let mut mutant = bytes.to_vec();
            mutant.insert(at, *byte);
            (format!("{byte:02x} at {at}"), mutant)
        })
    });
    deleted.chain(inserted)
}

#[test]
fn the_originals_are_accepted() {
    let world = World::new();
    for case in world.envelopes() {
        let body = world.accepts(&case);
        assert!(matches!(&body, Ok(body) if body == BODY || body == SHORTER), "{}: {body:?}", case.name);
        assert_eq!(case.tree().encode(), case.bytes, "{}", case.name);
    }
    let forms: Vec<_> = world.one_of_each().into_iter().map(|case| case.name).collect();
    assert_eq!(forms.len(), 12, "{forms:?}");
}

#[test]
fn a_second_encoding_is_distinguished_from_another_meaning() {
    for case in World::new().one_of_each() {
        let tree = case.tree();
        let mut other = case.bytes.clone();
        *other.last_mut().expect("a proof") ^= 1;
        assert!(case.mutant("last bit", other).means_something_else());
        for head in 0..tree.heads() {
            let wide = case.mutant(format_args!("head {head}"), tree.encode_with_wide_head(head, 8));
            assert!(!wide.means_something_else(), "{}", wide.name);
        }
        assert!(!case.mutant("nothing", case.bytes.clone()).means_something_else());
    }
}

#[test]
fn flipped_bits_are_refused() {
    let world = World::new();
    let mut mutants = Vec::new();
    for case in world.one_of_each() {
        for bit in 0..8 * case.bytes.len() {
            let mut mutant = case.bytes.clone();
            mutant[bit / 8] ^= 1 << (bit % 8);
            mutants.push(case.mutant(format_args!("bit {bit}"), mutant));
        }
    }
    assert_none_accepted("bits", &world, &mutants);
}

#[test]
fn no_other_length_is_accepted() {
    let world = World::new();
    let mut mutants = Vec::new();
    for case in world.one_of_each() {
        let bytes = &case.bytes;
        for len in 0..bytes.len() {
            mutants.push(case.mutant(format_args!("cut to {len}"), bytes[..len].to_vec()));
            mutants.push(case.mutant(format_args!("from {len}"), bytes[len + 1..].to_vec()));
        }
        mutants.extend(edits(bytes).map(|(edit, mutant)| case.mutant(edit, mutant)));
        mutants.push(case.mutant("twice", [bytes.as_slice(), bytes].concat()));
    }
    assert_none_accepted("lengths", &world, &mutants);
}

#[test]
fn no_edit_inside_a_byte_string_is_accepted_when_the_lengths_around_it_fit() {
    let world = World::new();
    let mut mutants = Vec::new();
    for case in world.one_of_each() {
        let tree = case.tree();
        for path in tree.paths() {
            let Some(content) = tree.get(&path).and_then(Node::string_content) else { continue };
            let cut = (0..content.len()).map(|len| (format!("cut to {len}"), content[..len].to_vec()));
            for (edit, content) in edits(&content).chain(cut) {
                let mutant = tree.with(&path, Node::Bytes(content)).encode();
                mutants.push(case.mutant(format_args!("{path:?} {edit}"), mutant));
            }
        }
    }
    assert_none_accepted("edits inside", &world, &mutants);
}

#[test]
fn no_wider_head_is_accepted() {
    let world = World::new();
    let mut mutants = Vec::new();
    for case in world.one_of_each() {
        let tree = case.tree();
        for head in 0..tree.heads() {
            for width in [1, 2, 4, 8] {
                let mutant = tree.encode_with_wide_head(head, width);
                mutants.push(case.mutant(format_args!("head {head} in {width} bytes"), mutant));
            }
        }
    }
    assert_none_accepted("wider heads", &world, &mutants);
}

#[test]
fn no_field_of_another_envelope_is_accepted() {
    let world = World::new();
    let all = world.envelopes();
    let trees: Vec<_> = all.iter().map(Case::tree).collect();
    let mut mutants = BTreeMap::new();
    for (case, tree) in all.iter().zip(&trees) {
        for (other_case, other) in all.iter().zip(&trees) {
            for path in tree.paths() {
                let Some(field) = other.get(&path) else { continue };
                let mutant = tree.with(&path, field.clone()).encode();
                // Most fields are alike in most envelopes: each mutant once.
                mutants.entry((mutant, case.beside.clone())).or_insert_with_key(|key| {
                    case.mutant(format_args!("{path:?} of {}", other_case.name), key.0.clone())
                });
            }
        }
    }
    assert_none_accepted("exchanged fields", &world, &mutants.into_values().collect::<Vec<_>>());
}

#[test]
fn no_removed_repeated_or_reordered_item_is_accepted() {
    let world = World::new();
    let mut mutants = Vec::new();
    for case in world.one_of_each() {
        let tree = case.tree();
        for path in tree.paths() {
            for (what, node) in tree.get(&path).into_iter().flat_map(Node::rearranged) {
                mutants.push(case.mutant(format_args!("{path:?} {what}"), tree.with(&path, node).encode()));
            }
        }
    }
    assert_none_accepted("rearranged items", &world, &mutants);
}

#[test]
fn no_other_body_beside_a_detached_envelope_is_accepted() {
    let world = World::new();
    let mut mutants = Vec::new();
    for case in world.one_of_each() {
        let Some(body) = &case.beside else { continue };
        let flipped = (0..8 * body.len()).map(|bit| {
            let mut body = body.clone();
            body[bit / 8] ^= 1 << (bit % 8);
            (format!("bit {bit} of the body"), body)
        });
        let cut = (0..body.len()).map(|len| (format!("body cut to {len}"), body[..len].to_vec()));
        for (what, body) in flipped.chain(cut).chain(edits(body)) {
            mutants.push(Case { beside: Some(body), ..case.mutant(what, case.bytes.clone()) });
        }
    }
    assert_none_accepted("bodies beside", &world, &mutants);
}

#[test]
fn a_form_is_opened_by_the_call_for_it_alone() {
    let world = World::new();
    let mut tried = 0;
    for case in world.envelopes() {
        let other = match case.beside {
            Some(_) => Case { beside: None, ..case },
            None => Case { beside: Some(BODY.to_vec()), ..case },
        };
        let refusal = world.accepts(&other);
        assert!(
            matches!(refusal, Err(OpenError::Refused(Refusal::Malformed | Refusal::Unsealed))),
            "{}: {refusal:?}",
            other.name
        );
        tried += 1;
    }
    assert!(tried > 30);
}

#[test]
fn a_ciphertext_signed_again_under_another_header_does_not_decrypt() {
    let world = World::new();
    let envelopes = world.envelopes();
    let mut tried = 0;
    for suite in ["SE", "SP"] {
        let of = |producer| {
            let name = format!("{suite} {producer}");
            envelopes.iter().filter(move |case| case.name == name)
        };
        for (stolen, header) in
            of(0).flat_map(|stolen| of(1).chain(of(0)).map(move |header| (stolen, header)))
        {
            if stolen.bytes == header.bytes {
                continue;
            }
            let payload = stolen.tree().get(&[0, 2]).cloned().expect("a payload");
            let thief = usize::from(of(1).any(|case| case.bytes == header.bytes));
            let forged = header.tree().with(&[0, 2], payload);
            let case = Case::new("forged", sign_again(&forged, &world.producers[thief]));

            assert!(Unverified::parse(&case.bytes).is_ok_and(|envelope| {
                let mut now = TimeWindow::exact(example::ISSUED_AT);
                envelope.verify(&world.keyset(Kind::Task), &World::policy(Kind::Task), &mut now).is_ok()
            }));
            assert_eq!(world.accepts(&case), Err(OpenError::Refused(Refusal::Rejected)));
            tried += 1;
        }
    }
    assert_eq!(tried, 12);
}

/// Puts a good signature of `key` on a COSE_Sign1, as its holder can.
fn sign_again(sign1: &Node, mut key: &SigningKey) -> Vec<u8> {
    let field = |index| sign1.get(&[0, index]).cloned().expect("a field");
    let items = vec![Node::Text("Signature1".to_owned()), field(0), Node::Bytes(Vec::new()), field(2)];
    let Ok(signature) = key.sign_digest(&sha256(&Node::Array(items).encode()));
    sign1.with(&[0, 3], Node::Bytes(example::low_s(signature).to_vec())).encode()
}
