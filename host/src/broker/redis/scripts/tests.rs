//! The script files: each is embedded and documents its arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Returns the text of every script file, by its name.
fn files() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker/redis/scripts");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let scripts = paths.filter(|path| path.extension().is_some_and(|extension| extension == "lua"));
    scripts
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn every_script_file_is_embedded_and_has_a_header() {
    let embedded: BTreeSet<&str> = include_str!("../scripts.rs")
        .lines()
        .filter(|line| line.starts_with("script!("))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .collect();

    let files = files();
    for (name, text) in &files {
        let header: String = text.lines().take_while(|line| line.starts_with("--")).collect();
        let is_part = header.contains("Part of other scripts");
        assert!(
            is_part || ["KEYS[1]", "ARGV[1]", "Returns"].iter().all(|word| header.contains(word)),
            "{name} does not document its keys, arguments and reply"
        );
    }
    assert_eq!(files.keys().map(String::as_str).collect::<BTreeSet<_>>(), embedded);
}

#[test]
fn no_script_executes_text_from_its_arguments() {
    let files = files();
    assert!(files.contains_key("settle"));
    for (name, text) in files {
        for word in ["loadstring", "load(", "dofile", "setfenv", "EVAL"] {
            assert!(!text.contains(word), "{name}: {word}");
        }
    }
}
