use std::cell::RefCell;

use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::*;

const SCHEMA: Schema = Schema {
    kind: "box",
    application_id: 0x7473_0001,
    version: 2,
    sql: "CREATE TABLE thing (a INTEGER PRIMARY KEY, b TEXT) STRICT; CREATE INDEX thing_b ON thing (b);",
};

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box.db");
    (folder, path)
}

fn opened(path: &Path) -> Result<Connection, OpenError> {
    open(path, &SCHEMA, &Settings::default())
}

#[test]
fn open_refuses_a_file_that_is_not_a_database_and_leaves_it_unchanged() {
    let (_folder, path) = scratch();
    fs::write(&path, vec![b'x'; 5000]).unwrap();

    assert!(matches!(opened(&path), Err(OpenError::Foreign { .. })));
    assert_eq!(fs::read(&path).unwrap(), vec![b'x'; 5000]);
}

#[test]
fn open_refuses_a_database_of_another_application_and_leaves_it_unchanged() {
    let (_folder, path) = scratch();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = fs::read(&path).unwrap();

    assert!(matches!(opened(&path), Err(OpenError::Foreign { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn open_refuses_another_application_id() {
    let (_folder, path) = scratch();
    drop(opened(&path).unwrap());

    let other = Schema { application_id: 0x7473_0002, ..SCHEMA };
    assert!(matches!(open(&path, &other, &Settings::default()), Err(OpenError::Foreign { .. })));
}

#[test]
fn open_refuses_a_later_version_and_names_both() {
    let (_folder, path) = scratch();
    opened(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();

    let error = opened(&path).unwrap_err();
    assert!(matches!(error, OpenError::Version { found: 7, known: 2, .. }));
    assert!(error.to_string().ends_with("has version 7 of the box format, this release knows 2"));
}

#[test]
fn open_refuses_an_added_trigger() {
    let (_folder, path) = scratch();
    let trigger = "CREATE TRIGGER t AFTER INSERT ON thing BEGIN DELETE FROM thing; END";
    opened(&path).unwrap().execute_batch(trigger).unwrap();

    assert!(matches!(opened(&path), Err(OpenError::Changed { .. })));
}

#[test]
fn a_trigger_added_while_the_file_is_open_does_not_run() {
    let (_folder, path) = scratch();
    let ours = opened(&path).unwrap();
    let trigger = "CREATE TRIGGER t AFTER INSERT ON thing BEGIN DELETE FROM thing; END";
    Connection::open(&path).unwrap().execute_batch(trigger).unwrap();

    ours.execute_batch("INSERT INTO thing VALUES (1, 'kept')").unwrap();

    let left: i64 = ours.query_row("SELECT count(*) FROM thing", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
}

#[test]
fn open_refuses_a_folder() {
    let (folder, _path) = scratch();
    assert!(matches!(opened(folder.path()), Err(OpenError::Io { .. })));
}

#[test]
fn a_value_over_the_limit_is_an_error_not_an_allocation() {
    let (_folder, path) = scratch();
    let small = Settings { max_value_len: 1000, ..Settings::default() };
    let connection = open(&path, &SCHEMA, &small).unwrap();
    Connection::open(&path).unwrap().execute("INSERT INTO thing VALUES (1, ?1)", ["x".repeat(2000)]).unwrap();

    let read = connection.query_row("SELECT b FROM thing", [], |row| row.get::<_, String>(0));
    assert_eq!(read.unwrap_err().sqlite_error_code(), Some(ErrorCode::TooBig));
}

#[cfg(unix)]
#[test]
fn the_file_and_its_log_are_accessible_only_to_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = scratch();
    let connection = opened(&path).unwrap();
    connection.execute_batch("INSERT INTO thing VALUES (1, 'x')").unwrap();

    let modes: Vec<u32> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o600; 3]);
}

thread_local! {
    /// The file in which another process creates the tables.
    static CREATED_MEANWHILE: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Lets the other process create the tables immediately before the connection looks for them.
fn meanwhile(event: TraceEvent<'_>) {
    let TraceEvent::Stmt(_, sql) = event else { return };
    if !sql.contains("sqlite_schema") {
        return;
    }
    if let Some(path) = CREATED_MEANWHILE.take() {
        let other = Connection::open(path).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        // It may have to wait for this connection.
        let create = format!(
            "BEGIN IMMEDIATE; {}; PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
            SCHEMA.sql, SCHEMA.application_id, SCHEMA.version
        );
        let _ = other.execute_batch(&create);
    }
}

#[test]
fn file_whose_tables_are_created_during_the_check_is_not_foreign() {
    let (_folder, path) = scratch();
    create(&path).unwrap();
    let mut connection = Connection::open(&path).unwrap();
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(meanwhile)).unwrap();
    CREATED_MEANWHILE.set(Some(path));

    let kind = kind_now(&connection, &SCHEMA).unwrap();
    assert!(CREATED_MEANWHILE.take().is_none(), "the connection did not look for tables");
    assert!(matches!(kind, Kind::Empty | Kind::Ours));
}

#[test]
fn threads_that_open_a_new_file_at_once_all_succeed() {
    let (_folder, path) = scratch();
    thread::scope(|scope| {
        for number in 0..8 {
            let path = &path;
            scope.spawn(move || {
                opened(path).unwrap().execute("INSERT INTO thing VALUES (?1, 'x')", [number]).unwrap();
            });
        }
    });

    let count: i64 =
        opened(&path).unwrap().query_row("SELECT count(*) FROM thing", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 8);
}

#[test]
fn an_opened_file_commits_to_disk_through_a_write_ahead_log() {
    let (_folder, path) = scratch();
    let connection = opened(&path).unwrap();

    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), number("synchronous"), number("busy_timeout")), ("wal", 2, 5000));
}
