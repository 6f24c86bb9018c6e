use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn file_of_another_user_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    create(&path, b"secret").unwrap();
    if std::os::unix::fs::chown(&path, Some(54_321), None).is_err() {
        eprintln!("skipped: only root can change owners");
        return;
    }

    assert!(read(&path).unwrap_err().message.contains("uid 54321"));
}

#[test]
fn existing_file_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    create(&path, b"first").unwrap();

    assert_eq!(create(&path, b"second").unwrap_err().io, Some(io::ErrorKind::AlreadyExists));
    assert_eq!(read(&path).unwrap().as_slice(), b"first");
}

#[test]
fn dangling_link_is_not_followed_when_a_file_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let (link, target) = (dir.path().join("key"), dir.path().join("elsewhere"));
    std::os::unix::fs::symlink(&target, &link).unwrap();

    assert_eq!(create(&link, b"secret").unwrap_err().io, Some(io::ErrorKind::AlreadyExists));
    assert!(!target.exists());
}

#[test]
fn folder_and_oversized_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    create(&path, &vec![b'x'; MAX_LEN + 1]).unwrap();

    assert!(read(&path).unwrap_err().message.starts_with("longer than"));
    assert_eq!(read(dir.path()).unwrap_err().message, "not a regular file");
}

#[test]
fn created_file_is_open_to_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    create(&path, b"secret").unwrap();

    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(read(&path).unwrap().as_slice(), b"secret");
}

#[test]
fn pipe_instead_of_a_file_is_refused_without_blocking() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();

    assert_eq!(read(&path).unwrap_err().message, "not a regular file");
    assert_eq!(read_guarded(&path, 100).unwrap_err().message, "not a regular file");
}

#[test]
fn guarded_file_may_be_read_by_all_users_and_written_by_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyset.toml");
    fs::write(&path, "key = []").unwrap();

    for mode in [0o664, 0o646, 0o666, 0o620] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let fault = read_guarded(&path, 100).unwrap_err();
        assert!(fault.message.contains(&format!("mode {mode:04o}")), "{fault}");
        assert_eq!(fault.hint, Some(format!("chmod go-w {}", path.display())));
    }
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(read_guarded(&path, 8).unwrap(), "key = []");
    assert_eq!(read_guarded(&path, 7).unwrap_err().message, "longer than 7 bytes");
}

#[test]
fn folder_that_others_can_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o770, 0o702, 0o1777] {
        fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        assert!(check_dir(dir.path()).unwrap_err().message.contains(&format!("mode {mode:04o}")));
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    check_dir(dir.path()).unwrap();
    let file = dir.path().join("file");
    create(&file, b"").unwrap();
    assert_eq!(check_dir(&file).unwrap_err().message, "not a folder");
}

#[test]
fn file_below_a_folder_that_others_can_write_to_is_refused_however_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let outer = dir.path().join("outer");
    let inner = outer.join("inner");
    create_dir(&inner).unwrap();
    let path = inner.join("key");
    create(&path, b"secret").unwrap();
    read(&path).unwrap();
    read_guarded(&path, 100).unwrap();
    check_dir(&inner).unwrap();

    fs::set_permissions(&outer, Permissions::from_mode(0o777)).unwrap();

    for error in
        [read(&path).unwrap_err(), read_guarded(&path, 100).unwrap_err(), check_dir(&inner).unwrap_err()]
    {
        assert!(error.message.contains("can be replaced by other users"), "{error}");
        assert_eq!(error.hint, Some(format!("chmod go-w {}", outer.display())));
    }
}

#[test]
fn replaced_file_has_the_new_content_and_mode_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics");
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "kept").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();

    assert_eq!(replace(&path, b"", 0o600).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    fs::remove_file(&path).unwrap();
    replace(&path, b"first", 0o600).unwrap();
    replace(&path, b"second", 0o600).unwrap();

    assert_eq!(fs::read(&path).unwrap(), b"second");
    assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read(&elsewhere).unwrap(), b"kept");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    let error = replace(&dir.path().join("missing/metrics"), b"", 0o600).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn text_in_another_encoding_than_utf8_is_refused_with_what_to_do() {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let entry = "[[key]]\r\n";
    let big_endian: Vec<u8> = [0xfe, 0xff, 0, b'[', 0, b'[', 0, b'k'].into();
    let cases = [
        ([&[0xff, 0xfe][..], &utf16(entry)].concat(), None, "the file is UTF-16; expected UTF-8"),
        (big_endian, None, "the file is UTF-16; expected UTF-8"),
        ([b"# keys\n", &utf16(entry)[..]].concat(), Some(2), "contains a NUL"),
        (b"# keys\n# caf\xe9\n".to_vec(), Some(2), "byte 13 is not UTF-8"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyset.toml");
    for (content, line, message) in cases {
        fs::write(&path, content).unwrap();
        let fault = read_guarded(&path, 100).unwrap_err();
        assert!(fault.message.starts_with(message) && fault.io.is_none(), "{fault}");
        assert_eq!(fault.position.map(|position| position.line), line, "{fault}");
        assert!(fault.hint.as_ref().unwrap().contains("UTF-8"), "{fault}");
    }
}

#[test]
fn byte_order_mark_of_utf8_is_not_part_of_the_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyset.toml");
    fs::write(&path, "\u{feff}key = []\r\n").unwrap();
    assert_eq!(read_guarded(&path, 100).unwrap(), "key = []\r\n");
}
