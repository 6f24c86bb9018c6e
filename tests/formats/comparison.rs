//! The table of other products: each cell of taskseal names a test that exists, each other cell a document or that it says nothing.
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;

use taskseal_tests::documents::{Page, top};

const COLUMNS: usize = 7;

/// The rows of the comparison, each with its cells. The list of documents has fewer columns.
fn rows(page: &Page) -> Vec<Vec<&str>> {
    let lines = page.text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let rows = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    rows.filter(|row| row.len() > 2 && row.first() != Some(&"question")).collect()
}

/// The references of a text, such as `celery` of `[no][celery]`.
fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split("][").skip(1).filter_map(|rest| rest.split_once(']').map(|(name, _)| name))
}

/// The references that the page defines, with their addresses.
fn definitions(page: &Page) -> impl Iterator<Item = (&str, &str)> {
    page.text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "))
}

/// Whether a span names a test, `folder/file::name`, or a file or a folder of tests.
fn is_test(span: &str) -> bool {
    let Some((file, test)) = span.split_once("::") else {
        return span.starts_with("tests/") && (top(span).exists() || top(span).with_extension("rs").exists());
    };
    let text = fs::read_to_string(top(file).with_extension("rs")).unwrap_or_default();
    // Tests of guides are listed in a macro.
    text.contains(&format!("fn {test}(")) || text.contains(&format!("\n    {test}: \""))
}

#[test]
fn every_cell_of_taskseal_names_tests_that_exist() {
    let page = Page::read("host/docs/comparison.md");
    let mut named = 0;
    for row in rows(&page) {
        assert_eq!(row.len(), COLUMNS, "{row:?}");
        let ours = row[1];
        let spans: Vec<&str> = ours.split('`').skip(1).step_by(2).filter(|span| span.contains('/')).collect();
        assert!(!spans.is_empty(), "no test: {ours}");
        let missing: Vec<_> = spans.iter().filter(|span| !is_test(span)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        named += spans.len();
    }
    assert!(named > 40, "{named} tests are named");
    assert!(!is_test("tests/security/attacks::frobnicated_task_is_refused") && !is_test("tests/frobnicate"));
}

#[test]
fn every_other_cell_has_a_document_or_says_that_none_states_it() {
    let page = Page::read("host/docs/comparison.md");
    for row in rows(&page) {
        for cell in &row[2..] {
            assert!(references(cell).next().is_some() || cell.starts_with("not stated"), "{cell}");
        }
    }
}

#[test]
fn every_document_of_the_comparison_has_an_address_and_is_listed() {
    let page = Page::read("host/docs/comparison.md");
    let defined: BTreeSet<&str> = definitions(&page).map(|(name, _)| name).collect();
    assert_eq!(references(&page.text).collect::<BTreeSet<_>>(), defined);
    assert!(definitions(&page).all(|(_, address)| address.starts_with("https://")));
    let (_, list) = page.text.split_once("## Documents that were read").expect("the list of documents");
    assert_eq!(references(list).collect::<BTreeSet<_>>(), defined);
}
