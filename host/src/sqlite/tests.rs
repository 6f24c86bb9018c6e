use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::shape::kind_now;
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
    create::create(&path, false).unwrap();
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

/// Adds an index that `CREATE INDEX` would refuse because of its name.
fn inject_index(path: &Path, name: &str) {
    let intruder = Connection::open(path).unwrap();
    intruder.execute_batch("CREATE INDEX other ON thing (hex(zeroblob(9000000)))").unwrap();
    intruder.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    intruder.pragma_update(None, "writable_schema", true).unwrap();
    let sql = format!(
        "UPDATE sqlite_schema SET name = '{name}', sql = replace(sql, 'other', '{name}') WHERE name = 'other'"
    );
    intruder.execute_batch(&sql).unwrap();
}

#[test]
fn open_refuses_an_index_with_a_name_reserved_for_sqlite() {
    let (_folder, path) = scratch();
    drop(opened(&path).unwrap());
    inject_index(&path, "sqlite_evil");

    let error = opened(&path).unwrap_err();
    assert!(matches!(error, OpenError::Changed { .. }), "{error}");
}

#[test]
fn open_without_create_refuses_a_missing_or_emptied_file_and_creates_none() {
    let (_folder, path) = scratch();
    let settings = Settings { create: false, ..Settings::default() };

    assert!(matches!(open(&path, &SCHEMA, &settings), Err(OpenError::Missing { .. })));
    assert!(!path.exists());
    fs::write(&path, b"").unwrap();
    assert!(matches!(open(&path, &SCHEMA, &settings), Err(OpenError::Missing { .. })));
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    drop(opened(&path).unwrap());
    open(&path, &SCHEMA, &settings).unwrap();
}

#[test]
fn root_creates_no_file_in_the_folder_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give a folder to another user");
        return;
    }
    let (folder, path) = scratch();
    std::os::unix::fs::chown(folder.path(), Some(65534), None).unwrap();

    let error = opened(&path).unwrap_err().to_string();
    assert!(error.contains("uid 65534") && error.contains("box.db"), "{error}");
    assert!(!path.exists());
}

#[test]
fn only_a_shared_file_in_a_folder_of_its_group_is_accessible_to_the_group() {
    let mode = |folder_mode: u32, shared: bool| {
        let (folder, path) = scratch();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(folder_mode)).unwrap();
        let _open = open(&path, &SCHEMA, &Settings { shared, ..Settings::default() }).unwrap();
        let log = path.with_file_name("box.db-wal");
        [path, log].map(|path| fs::metadata(path).unwrap().mode() & 0o777)
    };
    assert_eq!(mode(0o2770, false), [0o600; 2]);
    assert_eq!(mode(0o0770, true), [0o600; 2]);
    assert_eq!(mode(0o2770, true), [0o660; 2]);
}

#[test]
fn each_file_of_a_database_that_is_moved_deleted_or_replaced_is_noticed() {
    for suffix in ["", "-wal", "-shm"] {
        let (folder, path) = scratch();
        let _open = opened(&path).unwrap();
        let location = Location::of(&path).unwrap();
        location.check().unwrap();
        let (file, elsewhere) = (folder.path().join(format!("box.db{suffix}")), folder.path().join("moved"));

        fs::rename(&file, &elsewhere).unwrap();
        assert!(location.check().is_err(), "{suffix} moved");
        fs::copy(&elsewhere, &file).unwrap();
        assert!(location.check().unwrap_err().to_string().contains(&file.display().to_string()));
        fs::rename(&elsewhere, &file).unwrap();
        location.check().unwrap();
    }
}
