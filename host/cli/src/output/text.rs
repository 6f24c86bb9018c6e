//! Text output for a terminal: lists of members, tables and bodies, with untrusted text escaped.

use serde_json::Value;
use taskseal::escape::Escaped;
use zeroize::Zeroizing;

use super::json::Member;
use crate::failure::Failure;
use crate::ui::Ui;

/// Returns one line for each member: the name in a column, then the escaped value.
pub(crate) fn members(members: &[Member]) -> String {
    let width = members.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &Member| {
        let text = match value {
            Value::String(text) => Escaped::new(text).to_string(),
            other => other.to_string(),
        };
        format!("{name:width$}  {text}\n")
    };
    members.iter().map(line).collect()
}

/// Returns rows in columns under a head, with escaped cells.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<&[String]> = rows.iter().map(<[String; N]>::as_slice).collect();
    columns(&head, &rows)
}

fn columns(head: &[&str], rows: &[&[String]]) -> String {
    let mut escaped: Vec<Vec<String>> = vec![head.iter().copied().map(str::to_owned).collect()];
    for row in rows {
        escaped.push(row.iter().map(|cell| Escaped::new(cell).to_string()).collect());
    }
    lines(&escaped)
}

/// Returns one line for each row, with the cells of a column below each other.
fn lines(rows: &[Vec<String>]) -> String {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(row.len(), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Prints a body: unchanged into a file or pipe, escaped on a terminal.
pub(crate) fn print_body(body: &[u8], ui: &Ui) -> Result<(), Failure> {
    if !Ui::is_terminal() {
        return ui.data(body);
    }
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    let escape = |line: &[u8]| format!("{}\n", Escaped::new(line.strip_suffix(b"\n").unwrap_or(line)));
    ui.text(&Zeroizing::new(lines.map(escape).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_escapes_cells_and_aligns_columns() {
        let rows = [["a\u{1b}[2J".to_owned(), "b".to_owned()], ["c".to_owned(), "d".to_owned()]];
        assert_eq!(table(["ONE", "TWO"], &rows), "ONE         TWO\na\\u{1b}[2J  b\nc           d\n");
    }
}
