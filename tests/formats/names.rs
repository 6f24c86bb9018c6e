//! Files, fields, functions and variants that documents name exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use taskseal_tests::documents::{pages, top};

/// Paths that documents name as examples, or in the project of a reader.
const NOT_OURS: [&str; 4] = ["foo/bar.rs", "foo/mod.rs", "/etc/", "vectors/..."];

#[test]
fn files_that_a_document_names_are_there() {
    const ENDS: [&str; 10] = [".rs", ".sh", ".md", ".toml", ".py", ".lua", ".c", ".h", ".json", "/"];
    let mut files = Vec::new();
    files_below(&top(""), "", &mut files);
    let is_path = |span: &String| {
        span.trim_matches(['.', '/']).contains('/')
            && ENDS.iter().any(|end| span.ends_with(end))
            && span
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "._-/<>*".contains(character))
            && !NOT_OURS.iter().any(|other| span.contains(other))
    };
    for page in pages().iter().filter(|page| !page.path.ends_with("CHANGELOG.md")) {
        for span in page.spans().iter().filter(|span| is_path(span)) {
            let wanted = span.trim_start_matches("../").trim_end_matches('/');
            let is_there = |file: &String| matches(file, wanted);
            assert!(files.iter().any(is_there), "{}: {span} does not exist", page.path);
        }
    }
}

/// Returns whether a path is, or ends with, the wanted one, in which `*` and `<name>` stand for a part of a name.
fn matches(file: &str, wanted: &str) -> bool {
    let (file, wanted): (Vec<_>, Vec<_>) = (file.split('/').collect(), wanted.split('/').collect());
    let Some(tail) = file.len().checked_sub(wanted.len()).and_then(|start| file.get(start..)) else {
        return false;
    };
    tail.iter().zip(&wanted).all(|(name, wanted)| {
        let (start, end) = (wanted.split(['*', '<']).next(), wanted.rsplit(['*', '>']).next());
        if !wanted.contains(['*', '<']) {
            return name == wanted;
        }
        name.starts_with(start.unwrap_or_default()) && name.ends_with(end.unwrap_or_default())
    })
}

/// Adds the files and folders in a folder and its subfolders, without built files.
fn files_below(folder: &Path, name: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = if name.is_empty() { file.clone() } else { format!("{name}/{file}") };
        if [".git", "target", "node_modules"].contains(&file.as_str()) {
            continue;
        }
        if entry.file_type().expect("a type").is_dir() {
            files_below(&entry.path(), &path, files);
        }
        files.push(path);
    }
}

/// Names that documents give as examples.
const EXAMPLES: [&str; 3] = ["_with_rng", "area_condition", "length_past_the_end"];

/// A field, a function or a variant that was renamed or removed.
#[test]
fn names_that_a_document_uses_are_in_the_sources() {
    let mut files = Vec::new();
    files_below(&top(""), "", &mut files);
    let is_source = |file: &&String| {
        [".rs", ".h", ".toml", ".py", ".sh", ".lua", ".c"].iter().any(|end| file.ends_with(end))
    };
    let texts = files.iter().filter(is_source).filter_map(|file| fs::read_to_string(top(file)).ok());
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut words = BTreeSet::new();
    for text in texts {
        words.extend(text.split(|character| !is_part(character)).map(str::to_owned));
    }
    let is_name = |span: &str| {
        let snake = span.trim_matches('_').contains('_')
            && span.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let path =
            span.contains("::") && span.chars().all(|character| is_part(character) || character == ':');
        snake || path
    };
    let mut missing = Vec::new();
    for page in pages().iter().filter(|page| !page.path.ends_with("CHANGELOG.md")) {
        for span in page.spans().iter().filter(|span| is_name(span) && !EXAMPLES.contains(&span.as_str())) {
            let mut parts = span.split("::").filter(|part| !part.is_empty());
            if parts.any(|part| !words.contains(part)) {
                missing.push(format!("{}: {span}", page.path));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
