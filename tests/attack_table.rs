//! The table of attacks in the documents of core names tests that are there.

use std::fs;
use std::path::{Path, PathBuf};

fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The source files below a folder, as one text.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &fs::read_to_string(path).expect("a source file");
        }
    }
    all
}

/// What is set as code in the last column.
fn named_tests(table: &str) -> Vec<&str> {
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells = rows.skip(1).filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_test_that_the_table_names_is_there() {
    let table = fs::read_to_string(top("core/docs/attacks.md")).expect("the table");
    let (core, crossing) = (sources(&top("core/src")), sources(&top("tests")));
    let names = named_tests(&table);
    let is_there = |name: &&str| {
        if let Some(vector) = name.strip_prefix("vectors/") {
            return top("tests/vectors").join(vector).with_extension("txt").exists();
        }
        if let Some((_, test)) = name.split_once("::") {
            return crossing.contains(&format!("fn {test}("));
        }
        let is_file = |folder: &str| top(folder).join(name).with_extension("rs").exists();
        core.contains(&format!("fn {name}(")) || is_file("core/tests") || is_file("tests")
    };
    let missing: Vec<_> = names.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(names.len() > 60, "{} tests are named", names.len());
}

#[test]
fn every_row_names_a_test() {
    let table = fs::read_to_string(top("core/docs/attacks.md")).expect("the table");
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")).skip(1) {
        assert_eq!(row.matches('|').count(), 4, "{row}");
        assert!(!named_tests(&format!("| a | b | c |\n{row}")).is_empty(), "{row}");
    }
}
