//! Root shares a log in a folder of the user of a service, who must not lead it to other files.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::Path;
use std::process::Command;

use taskseal::audit::{AuditLog, AuditSettings};
use taskseal::keys::KeyStores;
use taskseal_tests::rerun::rerun;
use taskseal_tests::test_path;

use super::{TestLog, event};

/// The log of the child process.
const FILE: &str = "TASKSEAL_TEST_AUDIT";
const SERVICE: u32 = 47_110;

/// A log in a folder of a service, and a folder of root beside it; `None` if this is not root.
pub(super) fn shared() -> Option<(TestLog, tempfile::TempDir)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("SKIPPED: only root can use the folder of another user");
        return None;
    }
    let log = TestLog::new();
    chown(log.dir.path(), Some(SERVICE), Some(SERVICE)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("of root"), "unchanged").unwrap();
    Some((log, elsewhere))
}

fn record(log: &TestLog) -> Result<(), String> {
    let open = AuditLog::open(&log.settings, &KeyStores::default(), "a test");
    open.and_then(|open| open.record(event(0))).map_err(|error| error.to_string())
}

fn is_unchanged(elsewhere: &Path) -> bool {
    let names: Vec<_> = fs::read_dir(elsewhere).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names == ["of root"] && fs::read_to_string(elsewhere.join("of root")).unwrap() == "unchanged"
}

#[test]
fn symbolic_link_of_a_service_leads_root_to_no_other_file() {
    for target in ["of root", "new"] {
        for name in ["audit.jsonl", "audit.jsonl.lock", "audit.jsonl.000001"] {
            let Some((log, elsewhere)) = shared() else { return };
            symlink(elsewhere.path().join(target), log.path(name)).unwrap();
            lchown(log.path(name), Some(SERVICE), Some(SERVICE)).unwrap();
            let error = record(&log).unwrap_err();
            assert!(error.contains("symbolic link"), "{name}: {error}");
            assert!(is_unchanged(elsewhere.path()), "{name}");
        }
    }
}

#[test]
fn hard_link_of_a_service_to_a_file_of_root_is_not_written() {
    let Some((log, elsewhere)) = shared() else { return };
    fs::hard_link(elsewhere.path().join("of root"), log.path("audit.jsonl")).unwrap();
    let error = record(&log).unwrap_err();
    assert!(error.contains("belongs to uid 0"), "{error}");
    assert!(is_unchanged(elsewhere.path()));
}

#[test]
fn link_of_a_service_on_the_way_to_a_folder_of_root_is_refused() {
    for name in ["audit.jsonl", "new/audit.jsonl"] {
        let Some((mut log, elsewhere)) = shared() else { return };
        symlink(elsewhere.path(), log.path("state")).unwrap();
        lchown(log.path("state"), Some(SERVICE), Some(SERVICE)).unwrap();
        log.settings.file = log.path("state").join(name);
        let error = record(&log).unwrap_err();
        assert!(error.contains(&format!("uid {SERVICE}")), "{error}");
        assert!(is_unchanged(elsewhere.path()));
    }
}

#[test]
fn folder_that_other_users_can_write_to_is_refused_also_for_root() {
    let Some((log, _elsewhere)) = shared() else { return };
    fs::set_permissions(log.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o770)).unwrap();
    let error = record(&log).unwrap_err();
    assert!(error.contains("mode 0770"), "{error}");
}

#[test]
fn log_that_root_writes_in_the_folder_of_a_service_belongs_to_the_service() {
    let Some((mut log, _elsewhere)) = shared() else { return };
    log.settings.max_size = 2000;
    log.fill(20);
    for name in ["audit.jsonl", "audit.jsonl.lock", "audit.jsonl.000001"] {
        let metadata = fs::metadata(log.path(name)).unwrap();
        let owned = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        assert_eq!(owned, (SERVICE, SERVICE, 0o600), "{name}");
    }
    assert_eq!(log.faults(), []);
}

#[test]
fn log_whose_folder_is_replaced_continues_in_the_folder_that_has_its_name() {
    let mut log = TestLog::new();
    log.settings.file = log.path("state/audit.jsonl");
    let open = log.open();
    open.record(event(0)).unwrap();
    fs::rename(log.path("state"), log.path("moved")).unwrap();
    open.record(event(1)).unwrap();
    assert!(log.settings.file.exists());
    assert_eq!(fs::read_to_string(log.path("moved/audit.jsonl")).unwrap().lines().count(), 3);
}

/// Records one line, and prints why it cannot.
#[test]
#[ignore = "child process of the test below"]
fn recording_process() {
    let Ok(file) = std::env::var(FILE) else { return };
    let settings = AuditSettings::new(file, "test");
    let open = AuditLog::open(&settings, &KeyStores::default(), "a test").unwrap();
    match open.record(event(0)) {
        Ok(()) => println!("recorded"),
        Err(error) => println!("failed: {error}; hint: {:?}", error.hint),
    }
}

#[test]
fn root_without_the_right_to_change_owners_leaves_no_file_of_root() {
    let Some((log, _elsewhere)) = shared() else { return };
    let inner = rerun(test_path!(recording_process));
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-chown", "--bounding-set=-chown"]).arg(inner.get_program());
    let output = command.args(inner.get_args()).env(FILE, &log.settings.file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("audit.jsonl.lock cannot be given to uid 47110"), "{text} {:?}", output.stderr);
    assert!(text.contains("CAP_CHOWN"), "{text}");
    assert!(!log.path("audit.jsonl.lock").exists() && !log.settings.file.exists());
    record(&log).unwrap();
}

#[test]
fn empty_file_that_root_created_before_it_ended_is_given_to_the_service() {
    for name in ["audit.jsonl", "audit.jsonl.lock"] {
        let Some((log, _elsewhere)) = shared() else { return };
        fs::write(log.path(name), "").unwrap();
        record(&log).unwrap();
        let metadata = fs::metadata(log.path(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (SERVICE, SERVICE), "{name}");
        assert_eq!(log.faults(), []);
    }
}

#[test]
fn file_of_root_with_content_or_another_name_is_not_given_to_the_service() {
    let Some((log, elsewhere)) = shared() else { return };
    fs::write(elsewhere.path().join("empty"), "").unwrap();
    fs::hard_link(elsewhere.path().join("empty"), log.settings.file.clone()).unwrap();
    for _ in 0..2 {
        let error = record(&log).unwrap_err();
        assert!(error.contains("audit.jsonl belongs to uid 0"), "{error}");
        assert_eq!(fs::metadata(&log.settings.file).unwrap().uid(), 0);
        fs::remove_file(&log.settings.file).unwrap();
        fs::write(&log.settings.file, "content").unwrap();
    }
}
