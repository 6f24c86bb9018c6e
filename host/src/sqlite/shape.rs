//! Which format a file has, and whether its tables are exactly those of the format.

use rusqlite::{Connection, TransactionBehavior};

use super::Schema;

pub(super) enum Kind {
    Ours,
    Empty,
    Foreign,
    Version(i32),
}

/// Returns the kind of the file at one point in time: in separate reads, a file whose tables are being created would look
/// foreign.
pub(super) fn kind_now(connection: &Connection, schema: &Schema) -> rusqlite::Result<Kind> {
    kind_of(&*connection.unchecked_transaction()?, schema)
}

/// Returns the kind of the file, within a transaction.
fn kind_of(connection: &Connection, schema: &Schema) -> rusqlite::Result<Kind> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    if (application, version) == (0, 0) {
        let used =
            connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
        return Ok(if used { Kind::Foreign } else { Kind::Empty });
    }
    Ok(match (application == schema.application_id, version == schema.version) {
        (false, _) => Kind::Foreign,
        (true, true) => Kind::Ours,
        (true, false) => Kind::Version(version),
    })
}

/// Creates the tables in an empty file. Returns whether the tables are the expected ones.
pub(super) fn initialize(connection: &mut Connection, schema: &Schema) -> rusqlite::Result<bool> {
    let model = Connection::open_in_memory()?;
    model.execute_batch(schema.sql)?;
    let expected = tables(&model, usize::MAX)?;

    // Of two processes that found the file empty, one creates the tables and the other finds them.
    if matches!(kind_now(connection, schema)?, Kind::Empty) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if matches!(kind_of(&transaction, schema)?, Kind::Empty) {
            transaction.execute_batch(schema.sql)?;
            transaction.pragma_update(None, "application_id", schema.application_id)?;
            transaction.pragma_update(None, "user_version", schema.version)?;
        }
        transaction.commit()?;
    }
    Ok(tables(connection, expected.len() + 1)? == expected)
}

/// Returns the definition of every table, index, trigger and view, except those that SQLite created for a constraint.
///
/// Only these have no text. A name says nothing: an intruder can give an index a name that begins with `sqlite_`.
fn tables(connection: &Connection, most: usize) -> rusqlite::Result<Vec<(String, String, String)>> {
    let mut statement = connection
        .prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.take(most).collect()
}
