//! No secret survives its use in the memory of a process that uses the crates of the host: neither what is in key files
//! and wrapped key files, nor the bodies of tasks and results, PINs, and what a key in a token agreed on.
//!
//! Each case runs in a separate process, then waits with its threads. The test reads the writable memory of that
//! process, stacks, heap and statics, and looks for the secrets in the forms that they take there. A control for each
//! kind of secret shows that it is found while it is in use (bodies and results in suite SE). `core/tests/wiping.rs`
//! does the same for core and the primitives.
//!
//! Runs in code as it is released: without optimisation every move of a value leaves a copy in the frame that it left.
//! `tests/run secrets` runs it once for each backend of the primitives.
//!
//! # Limits
//! Left out of the cases, because it is out of reach of this project:
//! * what a token hands out, in the buffer that the library below fills. Here the next allocation overwrites it, by the
//!   order in which glibc gives memory out again;
//! * the password of Redis, once a connection was made;
//! * strings with escapes in a body that a handler reads by `OpenedTask::json`, in the buffer where escapes are taken
//!   out;
//! * a PIN or a password in an environment variable: the environment is there as long as the process;
//! * a signal that is handled on a thread that is copying a secret: the kernel saves the registers on its stack. A
//!   worker handles signals that end it, and on kernels without `pidfd_open` (before Linux 5.3) the end of each
//!   program as well.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))] // Compilers for other machines were not looked at.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod deployment;
mod forms;
mod token;
mod tokens;
mod work;

use std::path::Path;
use std::process::Stdio;
use std::{env, fs};

use taskseal_core::Suite;
use taskseal_tests::process_memory::{Needle, Waiting};
use taskseal_tests::redis::RedisServer;
use taskseal_tests::rerun::rerun;
use taskseal_tests::test_path;
use tempfile::TempDir;

use self::deployment::Kept;
use self::forms::{BODY_LEN, LONG_BODY_LEN, of_armour, of_key_file, of_secret, of_text};
use self::work::{Case, EXPORTED, IMPORTED, PEM};

const CASE: &str = "TASKSEAL_TEST_CASE";
const FOLDER: &str = "TASKSEAL_TEST_FOLDER";

#[test]
#[ignore = "child process of the tests below"]
fn process() {
    // Without a folder, as with `--ignored`, there is nothing to do.
    let Some(folder) = env::var_os(FOLDER) else { return };
    let name = env::var(CASE).unwrap();
    let case = Case::all().into_iter().find(|case| format!("{case:?}") == name);
    case.expect("a case of that name").run(Path::new(&folder));
}

fn start(case: Case, folder: &TempDir) -> Waiting {
    let process = rerun(test_path!(process))
        .env(CASE, format!("{case:?}"))
        .env(FOLDER, folder.path())
        // Some handlers panic on purpose.
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Waiting::of(process, folder.path())
}

/// A folder with keys that another process has made.
fn deployed() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    deployment::make(folder.path(), Kept::InFiles);
    folder
}

/// Every key of a deployment.
fn keys(folder: &TempDir) -> Vec<Needle> {
    deployment::KEYS.iter().flat_map(|(name, ..)| of_key_file(folder.path(), name)).collect()
}

/// Every key, and the bodies of tasks and results where the suite encrypts them.
fn secrets(suite: Suite, folder: &TempDir) -> Vec<Needle> {
    if suite.encrypts() { [keys(folder), bodies()].concat() } else { keys(folder) }
}

fn bodies() -> Vec<Needle> {
    [of_text("body", LONG_BODY_LEN), of_text("result", BODY_LEN)].concat()
}

fn found_after(case: fn(Suite) -> Case, suite: Suite, folder: &TempDir) -> Vec<String> {
    let waiting = start(case(suite), folder);
    let found = waiting.find(&secrets(suite, folder));
    waiting.end();
    found
}

#[test]
fn control_the_text_of_key_files_is_found_where_it_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let waiting = start(Case::Leaks, &folder);
    let found = waiting.find(&keys(&folder));
    waiting.end();
    for (name, ..) in deployment::KEYS {
        assert!(found.contains(&format!("text of {name}")), "{name}: {found:?}");
    }
}

#[test]
fn control_keys_are_found_while_clients_and_workers_hold_them() {
    for (suite, held) in [
        (Suite::S, ["task-signer", "result-signer"]),
        (Suite::M, ["task-mac", "result-mac"]),
        (Suite::E, ["task-cipher", "result-cipher"]),
        (Suite::Se, ["task-shared", "result-shared"]),
        (Suite::Sp, ["task-recipient", "result-recipient"]),
    ] {
        let folder = deployed();
        let mut waiting = start(Case::Holds(suite), &folder);
        let found = waiting.find(&keys(&folder));
        for name in held {
            assert!(found.iter().any(|found| found == name), "{suite}: {name}: {found:?}");
        }
        waiting.go_on();
        waiting.end();
    }
}

#[test]
fn control_bodies_and_results_are_found_while_they_are_in_use() {
    let folder = deployed();
    let mut waiting = start(Case::Stops(Suite::Se), &folder);
    let secrets = secrets(Suite::Se, &folder);
    assert!(waiting.find(&secrets).contains(&"body".to_owned()), "the handler has the body");
    waiting.go_on();
    assert!(waiting.find(&secrets).contains(&"result".to_owned()), "the client has the result");
    waiting.go_on();
    waiting.end();
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run secrets")]
fn making_keys_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let waiting = start(Case::Makes, &folder);
    assert_eq!(waiting.find(&keys(&folder)), [""; 0]);
    waiting.end();
}

/// A PrivateKeyInfo on P-256 (RFC 5958) without the public key, up to the private key, which is its end.
const PKCS8_HEADER: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
    0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04,
    0x20,
];

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run secrets")]
fn key_that_is_imported_or_exported_in_pem_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let secret = *forms::text(IMPORTED, 32).first_chunk::<32>().unwrap();
    let der = [&PKCS8_HEADER[..], &secret].concat();
    let pem = pem_rfc7468::encode_string("PRIVATE KEY", pem_rfc7468::LineEnding::LF, &der).unwrap();
    taskseal::file_security::create(&folder.path().join(PEM), pem.as_bytes()).unwrap();
    let mut needles = of_secret("scalar", &secret);
    needles.extend(of_armour("pem", pem.as_bytes(), secret.len()));

    let mut importing = start(Case::Imports, &folder);
    // The control: the key and its text are in use.
    assert_eq!(importing.find(&needles), ["scalar", "text of pem"], "read");
    importing.go_on();
    needles.extend(of_key_file(folder.path(), IMPORTED));
    assert_eq!(importing.find(&needles), [""; 0], "imported");
    importing.end();

    let mut exporting = start(Case::Exports, &folder);
    let pem = fs::read(folder.path().join(EXPORTED)).unwrap();
    let (_, der) = pem_rfc7468::decode_vec(&pem).unwrap();
    needles.extend(of_armour("exported", &pem, der.len()));
    // The control: the text is in use, and nothing else.
    assert_eq!(exporting.find(&needles), ["text of exported"], "exported");
    exporting.go_on();
    assert_eq!(exporting.find(&needles), [""; 0], "dropped");
    exporting.end();
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run secrets")]
fn keys_leave_nothing_when_clients_and_workers_are_dropped() {
    for suite in Suite::ALL {
        let folder = deployed();
        let mut waiting = start(Case::Holds(suite), &folder);
        waiting.go_on();
        assert_eq!(waiting.find(&keys(&folder)), [""; 0], "{suite}");
        waiting.end();
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run secrets")]
fn tasks_and_results_leave_nothing() {
    for suite in Suite::ALL {
        assert_eq!(found_after(Case::Works, suite, &deployed()), [""; 0], "{suite}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run secrets")]
fn tasks_and_results_on_redis_leave_nothing() {
    for suite in [Suite::E, Suite::Se, Suite::Sp] {
        let Some(server) = RedisServer::start_or_skip() else { return };
        let folder = deployed();
        fs::write(folder.path().join("redis-url"), server.url()).unwrap();
        assert_eq!(found_after(Case::Works, suite, &folder), [""; 0], "{suite}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run secrets")]
fn tasks_that_fail_leave_nothing() {
    for suite in [Suite::E, Suite::Se, Suite::Sp] {
        assert_eq!(found_after(Case::Fails, suite, &deployed()), [""; 0], "{suite}");
    }
}

/// A signal has the kernel save registers on the stack of the thread that it interrupts, and the last bytes of a body
/// that was copied are in them. On Linux 5.3 and later.
#[test]
fn programs_that_are_cut_off_do_not_make_the_process_catch_signals() {
    let folder = deployed();
    let waiting = start(Case::Fails(Suite::Se), &folder);
    let status = fs::read_to_string(format!("/proc/{}/status", waiting.pid())).unwrap();
    waiting.end();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    const SIGCHLD: u32 = 17;
    assert_eq!(caught >> (SIGCHLD - 1) & 1, 0, "{caught:x}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run secrets")]
fn password_of_redis_leaves_nothing_as_long_as_it_was_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let password = forms::text("password", 48);
    taskseal::file_security::create(&folder.path().join("redis-password"), &password).unwrap();
    fs::write(folder.path().join("redis-url"), "redis://127.0.0.1:1/0").unwrap();
    let needles = Needle::pieces("password", &password, 16);
    let mut waiting = start(Case::Configures, &folder);
    // The control: the configuration has to hold it.
    assert_eq!(waiting.find(&needles), ["password"], "configured");
    waiting.go_on();
    assert_eq!(waiting.find(&needles), [""; 0], "dropped");
    waiting.end();
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run secrets")]
fn programs_leave_nothing() {
    for suite in [Suite::E, Suite::Se, Suite::Sp] {
        assert_eq!(found_after(Case::Programs, suite, &deployed()), [""; 0], "{suite}");
    }
}
