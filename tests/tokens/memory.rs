//! Looking for private keys in the memory of another process of the same test.

use std::fs::{self, File, read_to_string};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::plant::Scalars;
use super::support::Fixture;

const READY: &str = "ready-to-be-read";
const READ: &str = "has-been-read";

/// In the process: says that its work is done, and waits until its memory was read.
pub(crate) fn wait_to_be_read(folder: &Path) {
    fs::write(folder.join(READY), "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !folder.join(READ).exists() {
        assert!(Instant::now() < deadline, "nobody reads the memory");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The keys that are found in a process that plays this role, once it waits.
pub(crate) fn survivors(fixture: &Fixture, role: &str, scalars: &Scalars) -> Vec<&'static str> {
    let (ready, read) = (fixture.folder.join(READY), fixture.folder.join(READ));
    let mut process = fixture.start(role);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready.exists() {
        assert!(process.try_wait().unwrap().is_none(), "{role} ended before its time");
        assert!(Instant::now() < deadline, "{role} does not get ready");
        thread::sleep(Duration::from_millis(10));
    }
    let found = scan(process.id(), scalars);
    fs::write(&read, "").unwrap();
    assert!(process.wait().unwrap().success());
    fs::remove_file(ready).unwrap();
    fs::remove_file(read).unwrap();
    found
}

fn scan(pid: u32, scalars: &Scalars) -> Vec<&'static str> {
    let maps = read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = Vec::new();
    for line in
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")))
    {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
        let mut content = vec![0; usize::try_from(to - from).unwrap()];
        // Some mappings cannot be read, though they say so.
        if memory.read_exact_at(&mut content, from).is_ok() {
            found.extend(scalars.found_in(&content));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
