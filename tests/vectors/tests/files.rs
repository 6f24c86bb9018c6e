//! Every vector: it equals the output of the generator, and it has its expected outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use taskseal_core::{OpenError, Refusal};
use taskseal_vectors::example::hex;
use taskseal_vectors::generate;
use taskseal_vectors::reader::{self, Vector};

/// Areas whose vectors are envelopes.
const ENVELOPES: [&str; 3] = ["envelope", "batch", "detached"];

fn text_of(area: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(area).join(format!("{name}.txt"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_file_is_what_the_generator_writes_and_there_is_no_other() {
    for (area, files) in generate::areas() {
        let written: BTreeSet<_> = files.iter().map(|file| file.name().to_owned()).collect();
        assert_eq!(written.len(), files.len(), "{area}: a name twice");
        assert_eq!(written, reader::names(area), "{area}: run `cargo run -p taskseal-vectors`");
        for file in &files {
            let name = file.name();
            assert_eq!(
                file.to_string(),
                text_of(area, name),
                "{area}/{name}: run `cargo run -p taskseal-vectors`"
            );
        }
    }
}

#[test]
fn every_vector_has_its_expected_outcome() {
    let mut wrong = Vec::new();
    for area in ENVELOPES {
        for vector in reader::all(area) {
            let outcome = match vector.open() {
                Ok(body) if Some(&body) == vector.get("body").map(hex).as_ref() => "accepted",
                Ok(_) => "another body",
                Err(OpenError::Refused(refusal)) => refusal.code(),
                Err(error) => panic!("{area}/{}: {error}", vector.name),
            };
            if outcome != vector.expected() {
                wrong.push(format!("{area}/{}: {outcome} instead of {}", vector.name, vector.expected()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_refusal_that_an_envelope_can_meet_has_a_vector() {
    let vectors = reader::all("envelope");
    let covered: BTreeSet<_> = vectors.iter().filter_map(|v| Refusal::from_code(v.expected())).collect();
    let of_the_queue = [Refusal::MetadataMismatch, Refusal::Poisonous];
    let missing: Vec<_> = Refusal::ALL.iter().filter(|refusal| !covered.contains(refusal)).collect();
    assert_eq!(missing, of_the_queue.iter().collect::<Vec<_>>(), "only queues can give these");
}

#[test]
fn every_expectation_is_a_code_of_the_specification() {
    let specification = include_str!("../../../core/docs/envelope.md");
    for vector in ENVELOPES.into_iter().flat_map(reader::all) {
        let code = vector.expected();
        assert!(
            code == "accepted"
                || Refusal::from_code(code).is_some() && specification.contains(&format!("### `{code}`")),
            "{}: {code}",
            vector.name
        );
    }
}

#[test]
fn every_line_is_explained_to_those_who_write_a_reader() {
    let page = include_str!("../README.md");
    for (_, files) in generate::areas() {
        for text in files.iter().map(ToString::to_string) {
            let (lines, _) = text.split_once("\n\n").expect("an empty line");
            for (name, _) in lines.lines().filter_map(|line| line.trim().split_once(':')) {
                assert!(page.contains(&format!("`{name}`")), "{name}");
            }
        }
    }
}

#[test]
fn no_two_vectors_are_the_same() {
    for area in ENVELOPES {
        let vectors = reader::all(area);
        let mut seen = BTreeMap::new();
        for vector in &vectors {
            let what: Vec<_> =
                vector.lines.iter().filter(|line| !["note", "by"].contains(&line.0.as_str())).collect();
            let earlier = seen.insert((what, &vector.bytes), &vector.name);
            assert_eq!(earlier, None, "{area}/{}", vector.name);
        }
    }
}

#[test]
fn what_anyone_can_make_is_accepted_under_no_policy_by_the_same_keys() {
    /// Bytes, body beside them, and the keys that the verifier knows.
    fn seen(vector: &Vector) -> (Vec<u8>, Option<String>, Vec<String>) {
        let keys =
            vector.lines.iter().filter(|line| ["es256", "hmac256", "a256gcm"].contains(&line.0.as_str()));
        let beside = vector.get("detached").map(ToOwned::to_owned);
        (vector.bytes.clone(), beside, keys.map(|line| line.1.clone()).collect())
    }
    for area in ENVELOPES {
        let vectors = reader::all(area);
        let accepted: BTreeSet<_> = vectors.iter().filter(|v| v.expected() == "accepted").map(seen).collect();
        for vector in vectors.iter().filter(|v| v.get("by") == Some("anyone")) {
            assert!(!accepted.contains(&seen(vector)), "{area}/{}", vector.name);
        }
    }
}

#[test]
fn a_line_that_the_reader_does_not_know_is_not_passed_over() {
    let good = text_of("envelope", "example_s");
    let reads =
        |text: String| std::panic::catch_unwind(|| Vector::parse("changed".to_owned(), &text)).is_ok();
    assert!(reads(good.clone()));
    for (what, with) in [
        ("note: ", "nota: "),
        ("now: ", "batches: no\nnow: "),
        ("now: ", "by: anyone\nnow: "),
        ("now: ", "now: 1\nnow: "),
        ("now: ", "issuers: *\nnow: "),
        ("body: ", "bodies: "),
        ("expect: accepted", "expect: malformed"),
    ] {
        assert!(!reads(good.replacen(what, with, 1)), "{with}");
    }
}
