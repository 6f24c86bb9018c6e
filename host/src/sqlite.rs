//! Opening a SQLite file that several processes share and that an attacker may have written to.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Rows};

use self::shape::Kind;

pub(crate) use self::location::Location;

mod create;
mod location;
mod shape;

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
    /// Whether a missing file is created.
    pub(crate) create: bool,
    /// Whether the group of a folder with the modes `g+ws` may read and write a file that is created in it.
    pub(crate) shared: bool,
    /// Number of pages in the log after which it is folded into the file.
    pub(crate) log_pages: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            durable: true,
            max_value_len: 40 * 1024 * 1024,
            cache_kib: 4 * 1024,
            create: true,
            shared: false,
            log_pages: 1000,
        }
    }
}

/// Why a file was not opened. It is unchanged, except that tables may have been created in an empty one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The file cannot be created or opened.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// There is no file or an empty one, and none was to be created.
    #[error("{}: no such {kind} file, or it is empty", path.display())]
    Missing { path: PathBuf, kind: &'static str },
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

/// Returns whether there is something at `path` that a new file would replace: anything but an empty file.
pub(crate) fn is_used(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| !found.is_file() || found.len() > 0)
}

/// Opens `path`. A file that it creates is readable and writable only by its owner, unless the folder is
/// [shared](Settings::shared).
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
    let found =
        if settings.create { create::create(&path, settings.shared) } else { create::find_used(&path) };
    found.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound if !settings.create => {
            OpenError::Missing { path: path.clone(), kind: schema.kind }
        }
        _ => OpenError::Io { path: path.clone(), source },
    })?;

    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(sqlite)?;
    configure_defensively(&connection, settings).map_err(|error| unreadable(&path, schema, error))?;

    // Nothing is written until the file is known to be empty or of this format.
    match shape::kind_now(&connection, schema).map_err(|error| unreadable(&path, schema, error))? {
        Kind::Ours => {}
        // Must be chosen before the first page is written.
        Kind::Empty => connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(sqlite)?,
        Kind::Foreign => return Err(OpenError::Foreign { path, kind: schema.kind }),
        Kind::Version(found) => {
            return Err(OpenError::Version { path, kind: schema.kind, found, known: schema.version });
        }
    }
    if !write_ahead(&connection, settings).map_err(sqlite)? {
        return Err(OpenError::NotShareable { path });
    }
    let ours = shape::initialize(&mut connection, schema).map_err(sqlite)?;
    if !ours {
        return Err(OpenError::Changed { path, kind: schema.kind });
    }
    Ok(connection)
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
    connection.pragma_update_and_check(None, "wal_autocheckpoint", settings.log_pages, |_| Ok(()))?;
    // Truncates a log that has become longer, for instance because a reader kept it from being folded in.
    let limit = i64::from(settings.log_pages) * 4096 * 2;
    connection.pragma_update_and_check(None, "journal_size_limit", limit, |_| Ok(()))?;
    Ok(mode == "wal")
}

/// Folds the log into the file and truncates it, as far as other connections allow. The log takes space that a full disk
/// does not have, and without this call nothing folds it in, because that happens after a commit.
pub(crate) fn fold_in_log(connection: &Connection) {
    // Busy, or no space for the file either: the call that follows reports that.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

/// Returns free pages to the file system if they are at least a quarter of the file and 1 MiB, up to `most` pages.
pub(crate) fn give_back_pages(connection: &Connection, most: u32) -> rusqlite::Result<()> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (free, pages) = (number("freelist_count")?, number("page_count")?);
    if free < 256 || free.saturating_mul(4) < pages {
        return Ok(());
    }
    // Each step of the statement returns one page.
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({most})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Reads all rows of a query.
pub(crate) fn read_rows<T>(
    mut rows: Rows<'_>,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.push(read(row)?);
    }
    Ok(values)
}

/// Returns whether another connection holds the lock, so that a retry may succeed.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Returns whether the disk has no space left.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull))
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
