//! Changes of single fields in the text of a keyset file, which keep its comments and its order.

use std::ops::Range;

use taskseal_core::KeyId;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

#[cfg(test)]
mod tests;

/// The table that is changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// The table `[keyset]`.
    Settings,
    /// The entry of this key.
    Entry(KeyId),
}

/// The new value of a field in TOML, or its removal.
pub(super) type Change<'c> = (&'c str, Option<String>);

/// Returns the text with changed fields. A new field follows the last one of its table.
pub(super) fn set(text: &str, place: Target, changes: &[Change<'_>]) -> Result<String, NotEditable> {
    let document = parse(text)?;
    let table = Table::find(text, document.get_ref(), place)?;
    let mut edits = Vec::new();
    for (name, value) in changes {
        match (table.field(name), value) {
            (Some(field), Some(value)) => edits.push((field.value, value.clone())),
            (Some(field), None) => edits.push((field.lines, String::new())),
            (None, Some(value)) => edits.push((table.end..table.end, format!("{name} = {value}\n"))),
            (None, None) => {}
        }
    }
    Ok(apply(text, edits))
}

/// Returns the text with only these fields in the entry of a key.
pub(super) fn keep_only(text: &str, kid: KeyId, names: &[&str]) -> Result<String, NotEditable> {
    let document = parse(text)?;
    let table = Table::find(text, document.get_ref(), Target::Entry(kid))?;
    let others = table.fields.into_iter().filter(|field| !names.contains(&field.name));
    Ok(apply(text, others.map(|field| (field.lines, String::new())).collect()))
}

/// Returns the text without the entry of a key.
pub(super) fn remove(text: &str, kid: KeyId) -> Result<String, NotEditable> {
    let document = parse(text)?;
    let table = Table::find(text, document.get_ref(), Target::Entry(kid))?;
    let after = text.get(table.end..).unwrap_or_default();
    // The empty line that separates it from the next entry.
    let end = if after.starts_with('\n') { table.end + 1 } else { table.end };
    Ok(apply(text, vec![(table.start..end, String::new())]))
}

/// The file cannot be changed field by field: it is not valid, has not the table, or writes it on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotEditable;

fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, NotEditable> {
    DeTable::parse(text).map_err(|_| NotEditable)
}

/// A table with one field on each line.
struct Table<'d> {
    /// Offset of its header.
    start: usize,
    /// Offset after the line of its last field.
    end: usize,
    fields: Vec<Field<'d>>,
}

#[derive(Clone)]
struct Field<'d> {
    name: &'d str,
    value: Range<usize>,
    lines: Range<usize>,
}

impl<'d> Table<'d> {
    fn find(text: &str, document: &'d DeTable<'_>, place: Target) -> Result<Self, NotEditable> {
        let table = match place {
            Target::Settings => document.get("keyset").filter(|table| table.get_ref().is_table()),
            Target::Entry(kid) => entry(document, kid),
        };
        let table = table.ok_or(NotEditable)?;
        let start = line_start(text, table.span().start);
        let header = text.get(start..).unwrap_or_default().trim_start();
        if !header.starts_with('[') || header.starts_with("[{") {
            return Err(NotEditable);
        }
        let mut fields = Vec::new();
        for (name, value) in table.get_ref().as_table().into_iter().flatten() {
            let lines = line_start(text, name.span().start)..line_end(text, value.span().end);
            if text.get(lines.start..name.span().start).is_none_or(|before| !before.trim().is_empty()) {
                return Err(NotEditable);
            }
            fields.push(Field { name: name.get_ref(), value: value.span(), lines });
        }
        let end = fields.iter().map(|field| field.lines.end).max();
        Ok(Self { start, end: end.unwrap_or_else(|| line_end(text, table.span().start)), fields })
    }

    fn field(&self, name: &str) -> Option<Field<'d>> {
        self.fields.iter().find(|field| field.name == name).cloned()
    }
}

fn entry<'d, 'i>(document: &'d DeTable<'i>, kid: KeyId) -> Option<&'d Spanned<DeValue<'i>>> {
    let entries = document.get("key")?.get_ref().as_array()?;
    entries.iter().find(|entry| {
        let found = entry.get_ref().as_table().and_then(|table| table.get("kid"));
        let found = found.and_then(|found| found.get_ref().as_str());
        found.is_some_and(|text| KeyId::parse_hex(text) == Ok(kid))
    })
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// Returns the offset after the line break that follows `at`.
fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|after| after.find('\n')).map_or(text.len(), |newline| at + newline + 1)
}

/// Applies changes of ranges that do not overlap.
fn apply(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut changed = String::new();
    let mut at = 0;
    for (range, new) in edits {
        changed.push_str(text.get(at..range.start).unwrap_or_default());
        // A new line after a last line without a line break.
        if range.is_empty() && !changed.is_empty() && !changed.ends_with('\n') {
            changed.push('\n');
        }
        changed.push_str(&new);
        at = range.end;
    }
    changed.push_str(text.get(at..).unwrap_or_default());
    changed
}
