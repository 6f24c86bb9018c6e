//! Key files wrapped by a key in a token: what they seal and open, and what happens when the token or the file is wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pem_rfc7468::LineEnding;
use taskseal_tests::token_folder::TokenFolder;

use crate::support::keygen::keygen;
use crate::support::program::Run;
use crate::support::project::{OPEN, SEAL};
use crate::support::token::RunWithToken;

const LABEL: &str = "TASKSEAL WRAPPED KEY";
const BODY: &[u8] = b"{\"order\":1}";

/// A token with a wrapping key, and in `plant` a host whose keys are wrapped by it.
struct Host {
    tokens: TokenFolder,
    kek: String,
    dir: PathBuf,
    keyset: String,
}

impl Host {
    fn new() -> Self {
        let tokens = TokenFolder::new();
        let kek = wrapping_key(&tokens, "kek");
        let dir = tokens.path("plant");
        fs::create_dir(&dir).unwrap();
        Self { tokens, kek, dir, keyset: String::new() }
    }

    /// Tasks that are signed, and encrypted with a shared key that is wrapped.
    fn sharing() -> Self {
        let mut host = Self::new();
        host.key("S", "sign.key", &[]);
        let kek = host.kek.clone();
        host.key("SE", "shared.key", &["--wrap", &kek]);
        host.configure("SE", "key = \"sign.key\"\nencryption_key = \"shared.key\"", "[\"shared.key\"]");
        host
    }

    /// Generates a key; returns its kid.
    fn key(&mut self, suite: &str, name: &str, more: &[&str]) -> String {
        let arguments = keygen(suite, &[&["--out", name, "--json"], more].concat());
        let made = self.tokens.run_in(&self.dir, &arguments).ok().json();
        self.keyset.push_str(made["entry"].as_str().unwrap());
        made["kid"].as_str().unwrap().to_owned()
    }

    fn configure(&self, suite: &str, keys: &str, decryption_keys: &str) {
        let text = format!(
            "deployment = \"plant\"\n[client]\nissuer = \"me\"\nsuite = \"{suite}\"\n{keys}\n\
             [worker]\ndecryption_keys = {decryption_keys}\n[[worker.queue]]\nname = \"default\"\n\
             [policy]\nsuites = [\"{suite}\"]\n"
        );
        fs::write(self.path("taskseal.toml"), text).unwrap();
        fs::write(self.path("keyset.toml"), &self.keyset).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Run {
        self.tokens.run_equipped(&self.dir, arguments, input)
    }

    fn seals_and_opens(&self) {
        let envelope = self.run(&SEAL, BODY).ok().out.clone();
        assert!(!envelope.windows(BODY.len()).any(|window| window == BODY));
        assert_eq!(self.run(&OPEN, &envelope).ok().out, BODY);
    }

    /// Changes what is in the armour of a key file.
    fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path(name);
        let text = fs::read(&path).unwrap();
        let (label, mut content) = pem_rfc7468::decode_vec(&text).unwrap();
        assert_eq!(label, LABEL);
        change(&mut content);
        fs::write(&path, pem_rfc7468::encode_string(LABEL, LineEnding::LF, &content).unwrap()).unwrap();
    }
}

/// Generates a wrapping key; returns its URI with library and PIN.
fn wrapping_key(tokens: &TokenFolder, label: &str) -> String {
    let uri = tokens.uri(&format!("token=plant;object={label};type=secret-key"));
    let made = tokens.run(&["token", "wrapping-key", &uri, "--json"]).ok().json();
    assert_eq!(made["label"], label);
    made["uri"].as_str().unwrap().to_owned()
}

/// The content as far as its lengths say: version, length, name.
fn name_in(content: &[u8]) -> (usize, &str) {
    let len = usize::from(u16::from_be_bytes([content[1], content[2]]));
    (len, str::from_utf8(&content[3..3 + len]).unwrap())
}

#[test]
fn wrapped_file_that_was_changed_is_refused() {
    let host = Host::sharing();
    let good = fs::read(host.path("shared.key")).unwrap();
    // Version, length, and of wrapped key, IV and ciphertext one byte or two.
    let len = {
        let (_, content) = pem_rfc7468::decode_vec(&good).unwrap();
        name_in(&content).0
    };
    for (at, reason) in [
        (0, "is damaged"),
        (1, "is damaged"),
        (3 + len + 39, "was modified, or was wrapped with a different key"),
        (3 + len + 51, "was changed since it was made"),
        (3 + len + 60, "was changed since it was made"),
        (3 + len + 52 + 50, "was changed since it was made"),
    ] {
        fs::write(host.path("shared.key"), &good).unwrap();
        host.change("shared.key", |content| content[at] ^= 1);
        let run = host.run(&SEAL, BODY);
        run.failed(1).hinted();
        assert!(run.err.contains("shared.key") && run.err.contains(reason), "byte {at}: {}", run.err);
    }
    fs::write(host.path("shared.key"), &good).unwrap();
    host.seals_and_opens();
}

#[test]
fn file_that_names_a_library_is_refused_before_any_is_loaded() {
    let host = Host::sharing();
    host.change("shared.key", |content| {
        let (len, name) = name_in(content);
        let name = format!("{name}?module-path=/nonexistent/evil.so");
        content.splice(3..3 + len, name.bytes());
        content[1..3].copy_from_slice(&u16::try_from(name.len()).unwrap().to_be_bytes());
    });
    let run = host.run(&SEAL, BODY);
    run.failed(1).hinted();
    assert!(run.err.contains("is damaged") && !run.err.contains("evil"), "{}", run.err);
}

#[test]
fn another_wrapping_key_of_the_token_does_not_unwrap_the_file() {
    let host = Host::sharing();
    let other = wrapping_key(&host.tokens, "other");
    let (other, _) = other.split_once('?').unwrap();
    host.change("shared.key", |content| {
        let (len, name) = name_in(content);
        assert_eq!(name.len(), other.len());
        content[3..3 + len].copy_from_slice(other.as_bytes());
    });
    let run = host.run(&SEAL, BODY);
    run.failed(1).hinted();
    assert!(run.err.contains("wrapped with a different key"), "{}", run.err);
}

#[test]
fn wrapped_file_is_out_of_reach_without_its_token_and_without_the_environment() {
    let host = Host::sharing();
    let unequipped = host.tokens.run_in(&host.dir, &SEAL);
    unequipped.failed(5).hinted();
    assert!(unequipped.err.contains("TASKSEAL_PKCS11_PIN_SOURCE"), "{}", unequipped.err);

    fs::rename(host.tokens.path("tokens"), host.tokens.path("away")).unwrap();
    fs::create_dir(host.tokens.path("tokens")).unwrap();
    let gone = host.run(&SEAL, BODY);
    gone.failed(5).hinted();
    assert!(gone.err.contains("no such token"), "{}", gone.err);
    // Another token of the same name does not help.
    host.tokens.add_token("plant");
    let other = host.run(&SEAL, BODY);
    other.failed(5).hinted();
    assert!(other.err.contains("no such key"), "{}", other.err);

    fs::remove_dir_all(host.tokens.path("tokens")).unwrap();
    fs::rename(host.tokens.path("away"), host.tokens.path("tokens")).unwrap();
    host.seals_and_opens();
}

#[test]
fn wrong_place_of_the_pin_in_the_environment_is_a_fault_of_the_environment() {
    let host = Host::sharing();
    fs::remove_file(host.tokens.path("pin")).unwrap();
    let run = host.run(&SEAL, BODY);
    run.failed(5).hinted();
    assert!(run.err.contains("no PIN"), "{}", run.err);
    for source in ["|cat pin", "pin", "pin-source=env:PIN"] {
        let run = host.tokens.run_with_pin_source(source, &host.dir, &SEAL, BODY);
        run.failed(5).hinted();
        assert!(run.err.contains("TASKSEAL_PKCS11_PIN_SOURCE is none of"), "{}", run.err);
    }
}

#[test]
fn wrapped_file_that_others_can_read_is_refused() {
    let host = Host::sharing();
    let mode = |name: &str| fs::metadata(host.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("shared.key"), 0o600);
    fs::set_permissions(host.path("shared.key"), Permissions::from_mode(0o644)).unwrap();
    host.run(&SEAL, BODY).failed(1).hinted();
}

#[test]
fn key_is_not_wrapped_by_a_key_that_is_not_there_or_signs_and_no_file_is_left() {
    let host = Host::new();
    let wrapped = |uri: &str| host.tokens.run_in(&host.dir, &keygen("SE", &["--out", "k", "--wrap", uri]));
    let missing = wrapped(&host.tokens.uri("token=plant;object=nothing"));
    missing.failed(5).hinted();
    assert!(missing.err.contains("wrapping-key"), "{}", missing.err);
    let signing = host.tokens.uri("token=plant;object=signs");
    host.tokens.run(&keygen("S", &["--pkcs11", &signing])).ok();
    wrapped(&signing).failed(5).hinted();
    wrapped("pkcs11:token=plant").failed(2);
    host.tokens.run(&keygen("S", &["--pkcs11", &signing, "--wrap", &host.kek])).failed(2);
    assert!(!host.path("k").exists());
}

#[test]
fn wrapping_key_has_its_own_label_and_no_id_of_the_caller() {
    let tokens = TokenFolder::new();
    wrapping_key(&tokens, "kek");
    let make = |path: &str| tokens.run(&["token", "wrapping-key", &tokens.uri(path)]);
    make("token=plant;object=kek").failed(5);
    make("token=plant;id=%01").failed(2).hinted();
    make("token=plant;object=k;id=%01").failed(2).hinted();
    make("token=plant;object=k;type=private").failed(2).hinted();
}

#[test]
fn shared_key_in_a_wrapped_file_seals_and_opens_and_is_nowhere_in_plain() {
    let host = Host::sharing();
    host.seals_and_opens();

    let text = fs::read(host.path("shared.key")).unwrap();
    let (label, content) = pem_rfc7468::decode_vec(&text).unwrap();
    assert_eq!(label, LABEL);
    // The public first bytes of the COSE_Key of an A256GCM key must not be in the file.
    let kid = String::from_utf8(text.clone()).unwrap();
    let kid = kid.lines().find_map(|line| line.strip_prefix("# kid: ")).unwrap().to_owned();
    let kid: Vec<u8> = (0..8).map(|at| u8::from_str_radix(&kid[2 * at..2 * at + 2], 16).unwrap()).collect();
    let holds = |needle: &[u8]| content.windows(needle.len()).any(|window| window == needle);
    assert!(!holds(&kid) && !holds(&[0x03, 0x03, 0x04, 0x82, 0x03, 0x04]));
    let (_, name) = name_in(&content);
    assert_eq!(Some(name), host.kek.split('?').next(), "the name and nothing of library and pin");
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("softhsm") && !text.contains("pin"), "{text}");
}

#[test]
fn wrapping_key_given_by_its_label_is_the_same() {
    let mut host = Host::new();
    host.key("S", "sign.key", &[]);
    let by_label = host.tokens.uri("token=plant;object=kek");
    host.key("SE", "shared.key", &["--wrap", &by_label]);
    host.configure("SE", "key = \"sign.key\"\nencryption_key = \"shared.key\"", "[\"shared.key\"]");
    host.seals_and_opens();
}

#[test]
fn keys_of_every_other_suite_work_from_wrapped_files() {
    let mut host = Host::new();
    let kek = host.kek.clone();
    let wrap = ["--wrap", kek.as_str()];
    host.key("S", "sign.key", &wrap);
    host.key("M", "mac.key", &wrap);
    host.key("E", "vouch.key", &wrap);
    let recipient = host.key("SP", "agree.key", &wrap);
    for (suite, keys) in [
        ("S", "key = \"sign.key\"".to_owned()),
        ("M", "key = \"mac.key\"".to_owned()),
        ("E", "key = \"vouch.key\"".to_owned()),
        ("SP", format!("key = \"sign.key\"\nrecipient = \"{recipient}\"")),
    ] {
        host.configure(suite, &keys, "[\"agree.key\"]");
        let envelope = host.run(&SEAL, BODY).ok().out.clone();
        assert_eq!(host.run(&OPEN, &envelope).ok().out, BODY, "{suite}");
    }
}

#[test]
fn worker_with_keys_in_the_token_and_a_wrapped_shared_key_runs_a_task() {
    let tokens = TokenFolder::new();
    let project = tokens.project();
    let kek = wrapping_key(&tokens, "kek");
    let arguments = keygen("SE", &["--out", "shared.key", "--wrap", &kek]);
    let entry = tokens.run_in(&project, &arguments).ok().text();
    let read = |name: &str| fs::read_to_string(project.join(name)).unwrap();
    fs::write(project.join("keyset.toml"), read("keyset.toml") + &entry).unwrap();
    let config = read("taskseal.toml")
        .replacen("suite = \"SP\"\n", "suite = \"SE\"\nencryption_key = \"shared.key\"\n", 1)
        .replacen("suites = [\"SP\"]", "suites = [\"SE\", \"SP\"]", 1);
    let config: Vec<_> = config.lines().filter(|line| !line.starts_with("recipient")).collect();
    fs::write(project.join("taskseal.toml"), config.join("\n")).unwrap();

    let run = |arguments: &[&str]| tokens.run_equipped(&project, arguments, b"");
    let enqueue = ["enqueue", "--queue", "default", "--type", "file:digest", "--payload", "sample.txt"];
    let id = run(&enqueue).ok().text().trim().to_owned();
    run(&["worker", "--once"]).ok();
    assert!(run(&["result", &id]).ok().text().contains("sha256"));
}
