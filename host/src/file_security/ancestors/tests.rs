use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

use super::*;

/// `DIR/outer/inner/key`, with folders that only their owner can change.
fn tree() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("outer/inner");
    fs::create_dir_all(&inner).unwrap();
    for folder in [&inner, &dir.path().join("outer")] {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    let key = inner.join("key");
    fs::write(&key, "secret").unwrap();
    (dir, key)
}

fn refused(path: &Path) -> String {
    check(path).unwrap_err().to_string()
}

#[test]
fn folder_above_that_group_or_others_can_write_to_is_refused_with_the_command_that_helps() {
    let (dir, key) = tree();
    let outer = dir.path().join("outer");
    for mode in [0o775, 0o757, 0o777] {
        fs::set_permissions(&outer, Permissions::from_mode(mode)).unwrap();
        let error = check(&key).unwrap_err();
        assert!(error.message.contains(&format!("folder {} can be written", outer.display())), "{error}");
        assert!(error.message.contains(&format!("mode {mode:04o}")), "{error}");
        assert_eq!(error.hint, Some(format!("chmod go-w {}", outer.display())));
    }
    fs::set_permissions(&outer, Permissions::from_mode(0o700)).unwrap();
    check(&key).unwrap();
}

#[test]
fn folder_above_with_the_sticky_bit_is_accepted() {
    let (dir, key) = tree();
    fs::set_permissions(dir.path().join("outer"), Permissions::from_mode(0o1777)).unwrap();
    check(&key).unwrap();
}

#[test]
fn folder_above_that_another_user_owns_is_refused_even_below_one_with_the_sticky_bit() {
    let (dir, key) = tree();
    let (outer, inner) = (dir.path().join("outer"), dir.path().join("outer/inner"));
    fs::set_permissions(&outer, Permissions::from_mode(0o1777)).unwrap();
    if chown(&inner, Some(54_321), None).is_err() {
        eprintln!("skipped: only root can change owners");
        return;
    }
    assert!(refused(&key).contains(&format!("folder {} is owned by uid 54321", inner.display())));
}

#[test]
fn target_of_a_link_is_checked_as_the_link_is() {
    let (dir, key) = tree();
    let link = dir.path().join("link");
    symlink("outer/../outer/inner", &link).unwrap();
    check(&link.join("key")).unwrap();
    let absolute = dir.path().join("absolute");
    symlink(&key, &absolute).unwrap();
    check(&absolute).unwrap();

    fs::set_permissions(dir.path().join("outer"), Permissions::from_mode(0o777)).unwrap();

    assert!(refused(&link.join("key")).contains("mode 0777"));
    assert!(refused(&absolute).contains("mode 0777"));
}

#[test]
fn link_in_a_folder_that_others_can_write_to_is_refused_although_its_target_is_safe() {
    let (dir, key) = tree();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    symlink(&key, open.join("link")).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    assert!(refused(&open.join("link")).contains("mode 0777"));

    fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    check(&open.join("link")).unwrap();
    if lchown(open.join("link"), Some(54_321), None).is_ok() {
        assert!(refused(&open.join("link")).contains("is owned by uid 54321"));
    }
}

#[test]
fn links_that_lead_in_a_circle_end_in_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    symlink(&one, &other).unwrap();
    symlink(&other, &one).unwrap();
    assert!(refused(&one).contains("more than 40 symbolic links"));
}
