use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn watched(paths: &[&Path]) -> FileVersions {
    let read = || paths.iter().for_each(|path| record(path, fs::metadata(path).ok().as_ref()));
    recorded(read).1
}

#[test]
fn each_change_of_a_file_changes_its_version_and_reading_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (file, other) = (folder.path().join("file"), folder.path().join("other"));
    fs::write(&file, "one").unwrap();
    let changes: [&dyn Fn(); 6] = [
        &|| fs::write(&file, "other").unwrap(),
        &|| fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap(),
        &|| {
            fs::write(&other, "other").unwrap();
            fs::rename(&other, &file).unwrap();
        },
        &|| fs::remove_file(&file).unwrap(),
        &|| fs::write(&file, "").unwrap(),
        &|| fs::write(&file, "back").unwrap(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let before = watched(&[&file]);
        let _ = fs::read(&file);
        assert_eq!(before.now(), before, "{number}");
        change();
        assert_ne!(before.now(), before, "{number}");
    }
}

#[test]
fn symbolic_link_to_another_folder_changes_the_version_of_a_file_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["..1", "..2"] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("file"), "the same").unwrap();
    }
    symlink("..1", path("..data")).unwrap();
    symlink("..data/file", path("file")).unwrap();
    let before = watched(&[&path("file")]);
    symlink("..2", path("..next")).unwrap();
    fs::rename(path("..next"), path("..data")).unwrap();
    assert_ne!(before.now(), before);
}

#[test]
fn files_are_recorded_by_the_innermost_reader_alone() {
    let (inner, outer) = recorded(|| {
        record(Path::new("/outer"), None);
        recorded(|| record(Path::new("/inner"), None)).1
    });
    assert_eq!(inner.files.keys().collect::<Vec<_>>(), [Path::new("/inner")]);
    assert_eq!(outer.files.keys().collect::<Vec<_>>(), [Path::new("/outer")]);
}

#[test]
fn secret_is_fetched_again_when_the_first_one_must_be() {
    let begin = Instant::now();
    let delay = |times: &[u64]| {
        let read = || times.iter().for_each(|seconds| record_fetch_again(Duration::from_secs(*seconds)));
        recorded(read).1.fetch_again().unwrap().duration_since(begin)
    };
    assert_eq!(recorded(|| ()).1.fetch_again(), None);
    for (times, seconds) in [(&[300, 4000][..], 300), (&[0], 1), (&[u64::MAX], 86_400)] {
        assert!((seconds..seconds + 60).contains(&delay(times).as_secs()), "{times:?}");
    }
}

#[test]
fn versions_of_files_are_the_same_whenever_secrets_are_fetched_again() {
    let read = |seconds| recorded(|| record_fetch_again(Duration::from_secs(seconds))).1;
    assert_eq!(read(1), read(1000));
}
