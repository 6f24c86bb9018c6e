//! Opening a SQLite file that several processes share and that an attacker may have written to.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// The format of one kind of file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    /// Name of the format in messages, for example `queue`.
    pub(crate) kind: &'static str,
    /// `PRAGMA application_id`, which distinguishes the formats.
    pub(crate) application_id: i32,
    /// `PRAGMA user_version`, at least 1.
    pub(crate) version: i32,
    /// Statements that create the tables in an empty file.
    pub(crate) sql: &'static str,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long a statement waits for a lock of another connection.
    pub(crate) busy_timeout: Duration,
    /// Whether a committed change survives a power failure; otherwise only a crash of the process.
    pub(crate) durable: bool,
    /// Maximum length of a text, blob or row, in bytes. A longer one is an error and is not allocated.
    pub(crate) max_value_len: i32,
    /// Size of the page cache, in KiB.
    pub(crate) cache_kib: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            durable: true,
            max_value_len: 40 * 1024 * 1024,
            cache_kib: 4 * 1024,
        }
    }
}

/// Why a file was not opened. It is unchanged, except that tables may have been created in an empty one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The file cannot be created or opened.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The file belongs to another application or is not a database.
    #[error("{} is not a taskseal {kind} database", path.display())]
    Foreign { path: PathBuf, kind: &'static str },
    /// Another release wrote the file.
    #[error("{} has version {found} of the {kind} format, this release knows {known}", path.display())]
    Version { path: PathBuf, kind: &'static str, found: i32, known: i32 },
    /// The tables, indexes or triggers are not those that were created.
    #[error("{}: the tables of this {kind} were changed", path.display())]
    Changed { path: PathBuf, kind: &'static str },
    /// The file cannot be shared between processes, for instance because it is on a network file system.
    #[error("{}: write-ahead logging is not available on this file system", path.display())]
    NotShareable { path: PathBuf },
    /// SQLite reported an error.
    #[error("{}: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

/// Opens `path`, or creates it, readable and writable only by its owner.
///
/// No trigger, view or function of the schema in the file runs: the schema must be exactly `schema`, and SQLite is
/// configured not to trust it.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn open(path: &Path, schema: &Schema, settings: &Settings) -> Result<Connection, OpenError> {
    // An absolute path is neither `:memory:` nor a `file:` URI, whatever its name.
    let path = std::path::absolute(path).map_err(|source| OpenError::Io { path: path.into(), source })?;
    let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
    create(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;

    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(sqlite)?;
    configure_defensively(&connection, settings).map_err(|error| unreadable(&path, schema, error))?;

    // Nothing is written until the file is known to be empty or of this format.
    match kind_now(&connection, schema).map_err(|error| unreadable(&path, schema, error))? {
        Kind::Ours | Kind::Empty => {}
        Kind::Foreign => return Err(OpenError::Foreign { path, kind: schema.kind }),
        Kind::Version(found) => {
            return Err(OpenError::Version { path, kind: schema.kind, found, known: schema.version });
        }
    }
    if !write_ahead(&connection, settings).map_err(sqlite)? {
        return Err(OpenError::NotShareable { path });
    }
    let ours = initialize(&mut connection, schema).map_err(sqlite)?;
    if !ours {
        return Err(OpenError::Changed { path, kind: schema.kind });
    }
    Ok(connection)
}

/// Creates an empty file with mode 0600 if there is none, such that its name survives a power failure.
fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        Ok(file) => {
            file.sync_all()?;
            #[cfg(unix)]
            if let Some(folder) = path.parent() {
                fs::File::open(folder)?.sync_all()?;
            }
            Ok(())
        }
        // Opening a pipe or a device could block.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path)?.is_file() {
            true => Ok(()),
            false => Err(io::Error::other("not a regular file")),
        },
        Err(error) => Err(error),
    }
}

/// Sets what protects against a tampered file, and the other settings of a connection.
fn configure_defensively(connection: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, settings.max_value_len)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.busy_timeout(settings.busy_timeout)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "cache_size", -i64::from(settings.cache_kib))?;
    connection.pragma_update(None, "synchronous", if settings.durable { "FULL" } else { "NORMAL" })
}

enum Kind {
    Ours,
    Empty,
    Foreign,
    Version(i32),
}

/// Returns the kind of the file at one point in time: in separate reads, a file whose tables are being created would look
/// foreign.
fn kind_now(connection: &Connection, schema: &Schema) -> rusqlite::Result<Kind> {
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

/// Converts an error of reading the file: one that is not a database is foreign.
fn unreadable(path: &Path, schema: &Schema, source: rusqlite::Error) -> OpenError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.into(), kind: schema.kind },
        _ => OpenError::Sqlite { path: path.into(), source },
    }
}

/// Enables write-ahead logging, with which readers do not block the writer.
fn write_ahead(connection: &Connection, settings: &Settings) -> rusqlite::Result<bool> {
    let deadline = Instant::now() + settings.busy_timeout;
    let mode = loop {
        // The busy timeout does not apply if two processes change the mode at the same time.
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            other => break other?,
        }
    };
    // Truncates an unusually long log.
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    Ok(mode == "wal")
}

/// Creates the tables in an empty file. Returns whether the tables are the expected ones.
fn initialize(connection: &mut Connection, schema: &Schema) -> rusqlite::Result<bool> {
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

/// Returns the definition of every table, index, trigger and view, except those of SQLite itself.
fn tables(connection: &Connection, most: usize) -> rusqlite::Result<Vec<(String, String, String)>> {
    let mut statement = connection.prepare(
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.take(most).collect()
}

/// Returns whether another connection holds the lock, so that a retry may succeed.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Returns whether the same call may succeed later without a change on this host.
pub(crate) fn is_transient(error: &rusqlite::Error) -> bool {
    let passing = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::CannotOpen
                | ErrorCode::DiskFull
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OperationInterrupted
                | ErrorCode::OutOfMemory
                | ErrorCode::SystemIoFailure
        )
    );
    passing || is_busy(error)
}

#[cfg(test)]
mod tests;
