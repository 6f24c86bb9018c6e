//! Compares what a page prints below a command with what the command prints.

use super::values::Values;

/// Compares the lines of a page with those of a command. A line `…` of the page stands for any lines, a word that ends
/// with `…` for a longer one. Times, sizes in digits and ids differ from run to run: an id of the page is the id of the
/// command from then on.
///
/// # Errors
/// The line of the page that was not printed.
pub(crate) fn compare(page: &[&str], printed: &str, values: &mut Values) -> Result<(), String> {
    let mut lines = printed.lines();
    let mut gap = false;
    for &expected in page {
        if expected == "…" {
            gap = true;
            continue;
        }
        let found = if gap {
            lines.any(|line| same(expected, line, values))
        } else {
            same_next(expected, &mut lines, values)
        };
        if !found {
            return Err(expected.to_owned());
        }
        gap = false;
    }
    match lines.next() {
        Some(line) if !gap => Err(format!("(not in the page) {line}")),
        _ => Ok(()),
    }
}

fn same_next<'l>(expected: &str, lines: &mut impl Iterator<Item = &'l str>, values: &mut Values) -> bool {
    lines.next().is_some_and(|line| same(expected, line, values))
}

/// Returns whether two lines have the same words. Records the ids that differ.
fn same(expected: &str, line: &str, values: &mut Values) -> bool {
    let (expected, found): (Vec<_>, Vec<_>) = (words(expected).collect(), words(line).collect());
    let pairs = || expected.iter().zip(&found);
    let equal =
        expected.len() == found.len() && pairs().all(|(expected, found)| same_word(expected, found, values));
    if equal {
        for (expected, found) in pairs().filter(|(expected, _)| is_id(expected)) {
            values.set(expected, found);
        }
    }
    equal
}

/// Words without the punctuation around them, which is compared as well.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace().flat_map(|word| {
        let inner = word.trim_end_matches([',', ';', ':', ')', '"']);
        let end = word.get(inner.len()..).unwrap_or_default();
        let begin = inner.trim_start_matches(['(', '"']);
        let start = inner.get(..inner.len() - begin.len()).unwrap_or_default();
        [start, begin, end].into_iter().filter(|part| !part.is_empty())
    })
}

fn same_word(expected: &str, found: &str, values: &Values) -> bool {
    if let Some(start) = expected.strip_suffix('…') {
        return found.starts_with(start) || (is_time(start) && is_time(found));
    }
    if let Some(value) = values.get(expected) {
        return value == found;
    }
    expected == found
        || (is_id(expected) && is_id(found) && expected.len() == found.len())
        || (is_time(expected) && is_time(found))
        || (is_measured(expected) && is_measured(found))
}

/// An id of a task, a key or a ledger: a UUID, or 16 or 32 hexadecimal digits.
fn is_id(word: &str) -> bool {
    let is_hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let is_uuid = || word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    (matches!(word.len(), 16 | 32) && is_hex(word)) || (is_uuid() && is_hex(&word.replace('-', "")))
}

/// A time in the form of RFC 3339.
fn is_time(word: &str) -> bool {
    let is_digit = |at: usize| word.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    word.len() >= 10 && [0, 1, 2, 3, 5, 6, 8, 9].into_iter().all(is_digit) && word.get(4..5) == Some("-")
}

/// A number with a fraction, as durations and rates have.
fn is_measured(word: &str) -> bool {
    word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019ab2c4-8a52-7c31-9d0e-0c6a4f7be21d";
    const OTHER: &str = "01a22a40-639b-76b4-b6ec-439f060ba0b1";

    #[test]
    fn word_that_differs_is_reported() {
        let mut values = Values::default();
        let difference = compare(&["done: 1 succeeded"], "done: 2 succeeded\n", &mut values);
        assert_eq!(difference.unwrap_err(), "done: 1 succeeded");
    }

    #[test]
    fn line_that_the_page_lacks_is_reported() {
        let mut values = Values::default();
        assert!(compare(&["one"], "one\ntwo\n", &mut values).unwrap_err().contains("two"));
        assert!(compare(&["one", "two"], "one\n", &mut values).is_err());
        compare(&["…", "two"], "one\ntwo\n", &mut values).unwrap();
        compare(&["one", "…"], "one\ntwo\n", &mut values).unwrap();
    }

    #[test]
    fn id_of_the_page_is_one_id_of_the_command() {
        let mut values = Values::default();
        compare(&[ID], OTHER, &mut values).unwrap();
        assert_eq!(values.apply(&format!("taskseal result {ID}")), format!("taskseal result {OTHER}"));
        assert!(compare(&[ID], ID, &mut values).is_err());
    }

    #[test]
    fn times_and_ends_of_words_may_differ() {
        let mut values = Values::default();
        compare(
            &["2026-11-22T10:00:00Z ready: BGVp…"],
            "2027-01-01T11:11:11.5Z ready: BGVpINmf",
            &mut values,
        )
        .unwrap();
    }
}
