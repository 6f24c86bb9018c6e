//! Documents agree with the tree: the table of attacks names existing tests, links and paths lead to files, examples are
//! compiled.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use taskseal_tests::documents::{Page, pages, top};

/// The source files below a folder: path and text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            all.push((path, text));
        }
    }
    all
}

/// Whether a source file belongs to a module: it has its name, or is in a folder of that name.
fn is_of(path: &Path, module: &str) -> bool {
    path.with_extension("").components().any(|component| component.as_os_str() == module)
}

/// The code spans of the last column.
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
    let defines = |(_, text): &(PathBuf, String), test: &str| text.contains(&format!("fn {test}("));
    let is_there = |name: &&str| {
        if let Some(vector) = name.strip_prefix("vectors/") {
            return top("tests/vectors").join(vector).with_extension("txt").exists();
        }
        if let Some((module, test)) = name.split_once("::") {
            return crossing.iter().any(|source| is_of(&source.0, module) && defines(source, test));
        }
        let is_program = |folder: &str| {
            let place = top(folder).join(name);
            place.with_extension("rs").exists() || place.join("main.rs").exists()
        };
        core.iter().any(|source| defines(source, name))
            || is_program("core/tests")
            || is_program("tests")
            || is_program("tests/security")
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

/// Pages whose examples in Rust are compiled as tests of a crate, because they are its documentation.
const COMPILED: [(&str, &str); 4] = [
    ("core/README.md", "core"),
    ("host/README.md", "host"),
    ("host/cloud/README.md", "host/cloud"),
    ("hsm/README.md", "hsm"),
];
/// The source of examples that are shortened.
const SHORTENED: [(&str, &str); 1] = [("core/docs/devices.md", "core/firmware/src/adapter.rs")];

#[test]
fn every_example_in_rust_is_compiled() {
    let compiled: Vec<Page> = COMPILED.iter().map(|(page, _)| Page::read(page)).collect();
    for (page, package) in COMPILED {
        let root = fs::read_to_string(top(package).join("src/lib.rs")).expect("the root of a crate");
        assert!(root.starts_with("#![doc = include_str!(\"../README.md\")]"), "{page}");
    }
    for page in pages() {
        for block in page.blocks().into_iter().filter(|block| block.language.starts_with("rust")) {
            let place = format!("{}:{}", page.path, block.line);
            if let Some((_, source)) = SHORTENED.iter().find(|(path, _)| *path == page.path) {
                is_part_of(&place, block.text, source);
                continue;
            }
            assert!(!block.language.contains("ignore"), "{place}");
            let same = |page: &Page| page.blocks().iter().any(|other| other.text == block.text);
            assert!(compiled.iter().any(same), "{place}: nothing compiles this example");
        }
    }
}

/// Checks that each line of an example is one of the source, except for those that are shortened.
fn is_part_of(place: &str, example: &str, source: &str) {
    let text = fs::read_to_string(top(source)).expect("a source");
    for line in example.lines().filter(|line| !line.contains('…')) {
        assert!(text.lines().any(|other| other.trim() == line.trim()), "{place}: {source} has no {line}");
    }
}

#[test]
fn links_to_files_lead_somewhere() {
    let pages = pages();
    assert!(pages.len() > 30, "{} pages are checked", pages.len());
    for page in pages {
        let file = top(&page.path);
        let folder = file.parent().expect("a folder");
        let targets =
            page.text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        for target in targets.filter(|target| is_path(target)) {
            let file = target.split('#').next().unwrap_or_default();
            assert!(folder.join(file).exists(), "{}: {target}", page.path);
        }
    }
}

/// Returns whether the target of a link is a file of this repository.
fn is_path(target: &str) -> bool {
    let path = |character: char| character.is_ascii_alphanumeric() || "/._-#".contains(character);
    !target.starts_with('#') && target.contains(['/', '.']) && target.chars().all(path)
}

/// A field that the parser has and the reference lacks, or the other way round.
#[test]
fn reference_of_the_configuration_has_the_fields_of_the_parser() {
    let page = fs::read_to_string(top("host/docs/configuration.md")).expect("the reference");
    let rules = fs::read_to_string(top("host/docs/policy.md")).expect("the reference of the policy file");
    for (heading, source, name) in [
        ("`[broker]`", "host/src/config/broker.rs", "struct BrokerSection"),
        ("`[keys]`", "host/src/config/keys.rs", "struct KeysSection"),
        ("`[state]`", "host/src/config/file.rs", "struct StateSection"),
        ("`[audit]`", "host/src/config/audit.rs", "struct AuditSection"),
        ("`[client]`", "host/src/config/file.rs", "struct ClientSection"),
        ("`[worker]`", "host/src/config/file.rs", "struct WorkerSection"),
        ("`[[worker.queue]]`", "host/src/config/file.rs", "struct QueueEntry"),
        ("`[policy]`", "host/src/policy.rs", "struct PolicySettings"),
        ("`[[handler]]`", "host/src/config/program.rs", "struct HandlerSection"),
        ("`[key_command.NAME]`", "host/src/config/key_command.rs", "struct KeyCommandSection"),
        ("`[vault]`", "host/src/config/vault.rs", "struct VaultSection"),
        ("`[[type]]`", "host/src/policy/file.rs", "struct TypeSection"),
    ] {
        let page = if heading == "`[[type]]`" { &rules } else { &page };
        let (_, section) = page.split_once(&format!("### {heading}\n")).expect(heading);
        let section = section.split("\n#").next().expect("a section");
        let documented: BTreeSet<&str> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(field, _)| field))
            .collect();
        let text = fs::read_to_string(top(source)).expect("a source");
        assert_eq!(documented, fields(&text, name), "{heading}");
    }
}

/// Returns the fields of a struct. Queues have a section for themselves.
fn fields<'t>(source: &'t str, name: &str) -> BTreeSet<&'t str> {
    let (_, body) = source.split_once(&format!("{name} {{")).expect(name);
    let body = body.split("\n}").next().expect("a body");
    let field = |line: &'t str| {
        let line = line.trim().trim_start_matches("pub ").trim_start_matches("r#");
        let (name, _) = line.split_once(": ")?;
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        (!name.is_empty() && name.bytes().all(is_name) && name != "queue").then_some(name)
    };
    body.lines().filter_map(field).collect()
}
