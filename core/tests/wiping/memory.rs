//! Access to the memory of another process of this program.

use std::fs::{File, read_to_string};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write, stdin};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGUSR1;
use taskseal_core::Acceleration;

use super::needles::Needle;

const CASE: &str = "TASKSEAL_TEST_CASE";
const INPUT: &str = "TASKSEAL_TEST_INPUT";

/// In the process: runs the work in frames that later code does not overwrite, then waits until the memory is read.
pub(crate) fn wait_after(work: impl FnOnce(&str)) {
    let case = std::env::var(CASE).unwrap();
    signal_hook::flag::register(SIGUSR1, Arc::new(AtomicBool::new(false))).unwrap();
    deep(|| {
        work(&case);
        store_registers();
    });
    wait();
}

/// A signal makes the kernel store all registers on the stack, here below the frames of the work, where the test can
/// read them.
#[inline(never)]
pub(crate) fn store_registers() {
    let mut room = MaybeUninit::<[u8; 64 << 10]>::uninit();
    black_box(&mut room);
    signal_hook::low_level::raise(SIGUSR1).unwrap();
    black_box(&mut room);
}

/// In the process: waits until the test has read the memory.
pub(crate) fn wait() {
    println!("{} ready", backends());
    stdin().read_line(&mut String::new()).unwrap();
}

/// The instruction sets that the primitives of this process use.
pub(crate) fn backends() -> String {
    let Acceleration { aes, ghash, sha256, .. } = Acceleration::detect();
    format!("aes {aes} ghash {ghash} sha256 {sha256}")
}

/// Printing and reading use less than these 128 KiB.
#[inline(never)]
fn deep(work: impl FnOnce()) {
    let mut room = [0_u8; 128 << 10];
    black_box(&mut room);
    work();
    black_box(&mut room);
}

/// In the process: the bytes given to [`survivors`].
pub(crate) fn input() -> Vec<u8> {
    let text = std::env::var(INPUT).unwrap();
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Runs `case` in a process and returns the secrets that are in its memory when it waits.
pub(crate) fn survivors(case: &str, input: &[u8], needles: &[Needle]) -> Vec<String> {
    let input: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["process", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .envs([(CASE, case), (INPUT, &input)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
    let ready = format!("{} ready", backends());
    // Set by the test command when it forces a backend.
    if let Some(wanted) = std::env::var_os("TASKSEAL_TEST_BACKEND") {
        assert_eq!(Some(backends().as_str()), wanted.to_str(), "another backend was to be forced");
    }
    assert!(said.any(|line| line.unwrap().ends_with(&ready)), "{case} failed, or ran on other backends");
    let found = scan(process.id(), needles);
    // A case that waits within its work waits once more after it.
    process.stdin.take().unwrap().write_all(b"go on\nend\n").unwrap();
    said.for_each(drop);
    assert!(process.wait().unwrap().success(), "{case} failed");
    found
}

/// Returns the bytes of a value in the memory of this process.
pub(crate) fn bytes_of<T>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<T>()];
    let address = u64::try_from(std::ptr::from_ref(value).addr()).unwrap();
    File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, address).unwrap();
    bytes
}

/// Reads the writable memory of the process: heap, stacks, statics.
fn scan(process: u32, needles: &[Needle]) -> Vec<String> {
    let mut starts = vec![false; 1 << 16];
    needles.iter().for_each(|needle| starts[start(&needle.bytes)] = true);
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut found = Vec::new();
    for line in read_to_string(format!("/proc/{process}/maps")).unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        memory.read_exact_at(&mut bytes, from).expect("a process may read the memory of its children");
        for at in 0..bytes.len().saturating_sub(1) {
            if starts[start(&bytes[at..])] {
                let fits = |needle: &&Needle| bytes[at..].starts_with(&needle.bytes);
                found.extend(needles.iter().filter(fits).map(|needle| needle.name.clone()));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn start(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}
