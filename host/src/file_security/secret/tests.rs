use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use super::super::create;
use super::*;

/// Returns the path of a new file of secrets with this mode.
fn secret(dir: &tempfile::TempDir, mode: u32) -> std::path::PathBuf {
    let path = dir.path().join(format!("key-{mode:o}"));
    create(&path, b"secret").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn file_that_others_can_read_or_that_its_group_can_write_is_refused_with_the_command_that_helps() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o604, 0o444, 0o620, 0o660, 0o602, 0o610, 0o666] {
        let path = secret(&dir, mode);
        let fault = read(&path).unwrap_err();

        assert!(
            fault.message.contains(&format!("accessible to group or others (mode {mode:04o})")),
            "{fault}"
        );
        assert_eq!(fault.hint, Some(format!("chmod 600 {}", path.display())));
    }
}

#[test]
fn file_that_a_group_of_other_users_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = secret(&dir, 0o440);
    if chown(&path, None, Some(54_321)).is_err() {
        eprintln!("skipped: only root can change groups");
        return;
    }

    let fault = read(&path).unwrap_err();

    assert!(
        fault.message.contains("accessible to group 54321, to which this user does not belong"),
        "{fault}"
    );
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    assert_eq!(read(&path).unwrap().as_slice(), b"secret");
}

#[test]
fn file_of_this_user_that_its_group_can_read_is_refused_unless_the_user_is_root() {
    let refused = check_group(SecretFile::Named, 1000, 100, true).unwrap_err();
    assert_eq!(refused, "accessible to group 100, which is accepted only for credentials and files of root");
    check_group(SecretFile::Named, 0, 100, false).unwrap_err();
    check_group(SecretFile::Named, 0, 100, true).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let is_root = rustix::process::geteuid().is_root();
    for mode in [0o440, 0o640] {
        assert_eq!(read(&secret(&dir, mode)).is_ok(), is_root, "mode {mode:o}");
    }
}

#[test]
fn file_of_root_that_a_group_of_this_user_can_read_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o400, 0o600] {
        assert_eq!(read(&secret(&dir, mode)).unwrap().as_slice(), b"secret", "mode {mode:o}");
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root has files of root");
        return;
    }
    let groups = rustix::process::getgroups().unwrap();
    let own = groups.iter().map(|group| group.as_raw()).chain([rustix::process::getegid().as_raw()]);
    let path = secret(&dir, 0o440);
    for group in own {
        chown(&path, None, Some(group)).unwrap();
        assert_eq!(read(&path).unwrap().as_slice(), b"secret", "group {group}");
    }
}

#[test]
fn credential_that_a_group_of_other_users_can_read_or_that_a_group_can_write_is_refused() {
    for owner in [0, 1000] {
        let refused = check_group(SecretFile::Credential, owner, 100, false).unwrap_err();
        assert_eq!(refused, "accessible to group 100, to which this user does not belong");
    }
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o444, 0o460, 0o660, 0o604] {
        let fault = read_checked(&secret(&dir, mode), SecretFile::Credential).unwrap_err();
        assert!(fault.message.contains(&format!("mode {mode:04o}")), "{fault}");
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(0o770)).unwrap();
    let path = dir.path().join("key-440");
    create(&path, b"secret").unwrap();
    let fault = read_checked(&path, SecretFile::Credential).unwrap_err();
    assert!(fault.message.contains("can be replaced by other users"), "{fault}");
}

#[test]
fn credential_that_only_its_owner_and_a_group_of_this_user_can_read_is_accepted_for_every_owner() {
    for owner in [0, 1000] {
        check_group(SecretFile::Credential, owner, 100, true).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o400, 0o440, 0o600, 0o640] {
        let path = secret(&dir, mode);
        assert_eq!(
            read_checked(&path, SecretFile::Credential).unwrap().as_slice(),
            b"secret",
            "mode {mode:o}"
        );
    }
}

/// A volume of Kubernetes: a folder that all may write to with the sticky bit, and links to a folder that is replaced.
#[test]
fn secret_in_a_volume_of_kubernetes_is_read_through_its_links_and_after_an_update() {
    let volume = tempfile::tempdir().unwrap();
    let update = |name: &str, content: &[u8]| {
        let folder = volume.path().join(name);
        fs::create_dir(&folder).unwrap();
        create(&folder.join("worker.key"), content).unwrap();
        fs::set_permissions(folder.join("worker.key"), Permissions::from_mode(0o440)).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(name, volume.path().join("..data_tmp")).unwrap();
        fs::rename(volume.path().join("..data_tmp"), volume.path().join("..data")).unwrap();
    };
    update("..2026_11_30_10_00_00.1", b"first");
    std::os::unix::fs::symlink("..data/worker.key", volume.path().join("worker.key")).unwrap();
    fs::set_permissions(volume.path(), Permissions::from_mode(0o1777)).unwrap();
    let read = || read_checked(&volume.path().join("worker.key"), SecretFile::Credential).unwrap().to_vec();
    assert_eq!(read(), b"first");

    update("..2026_11_30_11_00_00.2", b"second");
    assert_eq!(read(), b"second");

    fs::set_permissions(volume.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(read_checked(&volume.path().join("worker.key"), SecretFile::Credential).is_err());
}

#[test]
fn line_with_something_around_the_secret_is_refused_with_its_place() {
    let refused = |content: &[u8]| one_line(content).unwrap_err();

    assert_eq!(refused(b"\xef\xbb\xbfhunter2\n"), "a byte order mark begins the text");
    assert_eq!(refused(b"\xff\xfeh\0u\0"), "the text is UTF-16");
    assert_eq!(refused(b"hunter2\n\n"), "a line break follows character 7; expected one line");
    assert_eq!(refused(b"hunter2\r\n\r\n"), "a line break follows character 7; expected one line");
    assert_eq!(refused(b"\nhunter2\n"), "a line break follows character 0; expected one line");
    assert_eq!(refused(b"hunter2 \n"), "line 1 ends with a blank");
    assert_eq!(refused(b"\thunter2"), "line 1 begins with a blank");
    assert_eq!(refused(b"hunter\xff"), "byte 7 is not UTF-8");
    assert_eq!(refused(b"hunter\0"), "contains a NUL");
    assert_eq!(refused(b"\n"), "empty: expected one line");
}

#[test]
fn line_is_the_secret_with_or_without_one_line_break() {
    for content in ["hunter 2", "hunter 2\n", "hunter 2\r\n"] {
        assert_eq!(one_line(content.as_bytes()), Ok("hunter 2"));
    }
}
