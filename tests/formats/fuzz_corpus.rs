//! The fuzzing corpora, run through their targets without a fuzzer.

use std::fs;
use std::path::PathBuf;

use taskseal_tests::fuzzing::{TARGETS, run};

fn folder(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(path)
}

#[test]
fn every_input_of_every_corpus_keeps_its_property() {
    for (target, _) in TARGETS {
        let inputs = fs::read_dir(folder("corpus").join(target));
        let inputs = inputs.unwrap_or_else(|error| panic!("no corpus for {target}: {error}"));
        let mut count = 0;
        for input in inputs {
            run(target, &fs::read(input.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 3, "{target} has {count} inputs only");
    }
}

#[test]
fn every_target_is_built_and_every_corpus_has_a_target() {
    let names = |path: &str, ending: &str| {
        let mut names: Vec<String> = fs::read_dir(folder(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
            .collect();
        names.sort_unstable();
        names
    };
    let targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets", ".rs"), targets);
    assert_eq!(names("corpus", ""), targets);
}
