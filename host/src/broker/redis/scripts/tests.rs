//! Every script file is embedded and says what it takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_script_file_is_embedded_and_has_a_header() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker/redis/scripts");
    let embedded: BTreeSet<&str> = include_str!("../scripts.rs")
        .lines()
        .filter(|line| line.starts_with("script!("))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .collect();

    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "lua") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let header: String = text.lines().take_while(|line| line.starts_with("--")).collect();
        let is_part = header.contains("Part of other scripts");
        assert!(
            is_part || ["KEYS[1]", "ARGV[1]", "Returns"].iter().all(|word| header.contains(word)),
            "{} does not say what it takes and returns",
            path.display()
        );
        found.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), embedded);
}

#[test]
fn no_script_runs_text_it_was_given() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker/redis/scripts");

    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "lua") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        for word in ["loadstring", "load(", "dofile", "setfenv", "EVAL"] {
            assert!(!text.contains(word), "{word}");
        }
    }
}
