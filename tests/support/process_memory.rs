//! Search for secrets in the memory of another process: it works, waits, and the test reads its memory.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::expect_used)]

use std::env;
use std::fs::{self, File, read_to_string};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use taskseal_core::Acceleration;

const READY: &str = "ready-to-be-read";
const READ: &str = "has-been-read";

/// Some bytes of a secret, in one of the forms that it takes in memory.
#[derive(Clone, Debug)]
pub struct Needle {
    name: String,
    bytes: Vec<u8>,
}

impl Needle {
    /// The whole of `bytes`.
    #[must_use]
    pub fn whole(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: bytes.to_vec() }
    }

    /// The pieces of `bytes`, `len` bytes each, the last one up to the end: a part of a copy is found too.
    #[must_use]
    pub fn pieces(name: &str, bytes: &[u8], len: usize) -> Vec<Self> {
        let last = bytes.len().checked_sub(len).and_then(|start| bytes.get(start..));
        let pieces = bytes.chunks_exact(len).chain(last);
        pieces.map(|piece| Self::whole(name, piece)).collect()
    }
}

/// The names of the needles that are in `bytes`, in order, each once.
#[must_use]
pub fn found_in(bytes: &[u8], needles: &[Needle]) -> Vec<String> {
    let found = needles.iter().filter(|needle| Finder::new(&needle.bytes).find(bytes).is_some());
    sorted(found.map(|needle| needle.name.clone()).collect())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}

/// In the process: does `work` in frames that nothing later writes to, as long as that needs less than 128 KiB of
/// stack.
#[inline(never)]
pub fn deep<R>(work: impl FnOnce() -> R) -> R {
    let mut room = [0_u8; 128 << 10];
    black_box(&mut room);
    let result = work();
    black_box(&mut room);
    result
}

/// What the primitives of this process run on.
fn backends() -> String {
    let Acceleration { aes, ghash, sha256, .. } = Acceleration::detect();
    format!("aes {aes} ghash {ghash} sha256 {sha256}")
}

/// In the process: reports that its work is done and waits until its memory has been read.
pub fn wait_to_be_read(folder: &Path) {
    let making = folder.join(READY).with_extension("new");
    fs::write(&making, backends()).unwrap();
    fs::rename(making, folder.join(READY)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !folder.join(READ).exists() {
        assert!(Instant::now() < deadline, "the memory was not read");
        thread::sleep(Duration::from_millis(10));
    }
    fs::remove_file(folder.join(READ)).unwrap();
}

/// A process that waits in [`wait_to_be_read`]. Killed on drop, unless it has ended.
#[derive(Debug)]
pub struct Waiting {
    process: Child,
    folder: PathBuf,
}

impl Waiting {
    /// Waits until `process`, which uses `folder`, waits.
    #[must_use]
    pub fn of(process: Child, folder: &Path) -> Self {
        let mut waiting = Self { process, folder: folder.to_owned() };
        waiting.until_ready();
        waiting
    }

    fn until_ready(&mut self) {
        let ready = self.folder.join(READY);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !ready.exists() {
            assert!(self.process.try_wait().unwrap().is_none(), "the process ended too early");
            assert!(Instant::now() < deadline, "the process is not ready after 60 s");
            thread::sleep(Duration::from_millis(10));
        }
        let backends_there = read_to_string(&ready).unwrap();
        fs::remove_file(ready).unwrap();
        assert_eq!(backends_there, backends(), "the process runs on other backends than the test");
        // Named by the test command when it forces a backend.
        if let Some(wanted) = env::var_os("TASKSEAL_TEST_BACKEND") {
            assert_eq!(Some(backends_there.as_str()), wanted.to_str(), "another backend was to be forced");
        }
    }

    /// The id of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The names of the needles in the memory of the process, in order, each once.
    #[must_use]
    pub fn find(&self, needles: &[Needle]) -> Vec<String> {
        scan(self.process.id(), needles)
    }

    /// Lets the process go on until it waits once more.
    pub fn go_on(&mut self) {
        fs::write(self.folder.join(READ), "").unwrap();
        self.until_ready();
    }

    /// Lets the process go on to its end.
    pub fn end(mut self) {
        fs::write(self.folder.join(READ), "").unwrap();
        assert!(self.process.wait().unwrap().success(), "the process failed");
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// Reads what the process can write to: heap, stacks, statics.
fn scan(pid: u32, needles: &[Needle]) -> Vec<String> {
    let maps = read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let finders: Vec<_> = needles.iter().map(|needle| (Finder::new(&needle.bytes), &needle.name)).collect();
    let (mut found, mut read) = (Vec::<String>::new(), 0);
    for line in maps.lines() {
        let Some((range, rights)) = line.split_once(' ') else { continue };
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
        let mut content = vec![0; usize::try_from(to - from).unwrap()];
        // Some mappings of devices cannot be read, although their rights say so.
        if memory.read_exact_at(&mut content, from).is_err() {
            continue;
        }
        read += content.len();
        for (finder, name) in &finders {
            let Some(at) = finder.find(&content).filter(|_| !found.contains(*name)) else { continue };
            // Shown if the test fails: whether the place is on a stack or in the heap leads to its code.
            eprintln!("found {name} at {:#x} in {line}", from + at as u64);
            found.push((*name).clone());
        }
    }
    assert!(read > 0, "no memory of the process can be read");
    sorted(found)
}
