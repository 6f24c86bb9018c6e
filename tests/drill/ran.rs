//! The file in which the handlers record each start.

use std::fs;
use std::path::Path;

/// One start of a handler.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) id: String,
    /// Empty for a task that is not sealed.
    pub(crate) issuer: String,
    /// In milliseconds of Unix time.
    pub(crate) at: i64,
}

/// The program of every handler. It answers with the body.
pub(crate) const HANDLER: &str = r#"#!/bin/sh
printf '%s,%s,%s\n' "$TASKSEAL_TASK_ID" "$TASKSEAL_ISSUER" "$(date +%s%3N)" >> ran
exec cat
"#;

/// Reads the whole lines of the file.
pub(crate) fn read(file: &Path) -> Vec<Ran> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| parse(line.strip_suffix('\n')?)).collect()
}

fn parse(line: &str) -> Option<Ran> {
    let mut fields = line.split(',').map(str::to_owned);
    let (id, issuer) = (fields.next()?, fields.next()?);
    Some(Ran { id, issuer, at: fields.next()?.parse().ok()? })
}
