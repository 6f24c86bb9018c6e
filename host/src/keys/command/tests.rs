use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use rustix::process::Pid;

use super::*;
use crate::handler::supervisor::is_running;
use crate::keys::KeyErrorKind;

const CANARY: &str = "hunter2-canary";

/// A shell script that fetches a secret.
struct Script(tempfile::TempDir);

impl Script {
    fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fetch");
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn command(&self, arguments: &[&str]) -> KeyCommand {
        let program = self.0.path().join("fetch").to_str().unwrap().to_owned();
        KeyCommand {
            program: std::iter::once(program).chain(arguments.iter().map(ToString::to_string)).collect(),
            timeout: Duration::from_secs(20),
            env: BTreeMap::from([("FIXED".to_owned(), "7".to_owned())]),
            pass_env: vec!["CARGO_MANIFEST_DIR".to_owned(), "TASKSEAL_TEST_UNSET".to_owned()],
            working_dir: self.0.path().to_owned(),
        }
    }

    fn fetch(&self) -> Result<FetchedSecret, KeyError> {
        fetch(self.command(&[]))
    }
}

fn fetch(command: KeyCommand) -> Result<FetchedSecret, KeyError> {
    let source = CommandSource::new(BTreeMap::from([("vault".to_owned(), command)]));
    source.fetch(&KeyRef::new("exec", "vault", "exec:vault"))
}

#[test]
fn command_without_a_section_is_refused() {
    let source = CommandSource::default();
    for (uri, message) in [
        ("exec:vault", "no section [key_command.vault]"),
        ("exec:", "not the name of a key command"),
        ("exec:/usr/bin/vault", "not the name of a key command"),
        ("exec:cat secret", "not the name of a key command"),
    ] {
        assert_eq!(source.parse(uri, Path::new("taskseal.toml")).unwrap_err().message, message);
    }
}

#[test]
fn program_that_other_users_can_replace_is_not_run() {
    let script = Script::new("touch ran");
    let path = script.0.path().join("fetch");
    fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    let error = script.fetch().unwrap_err();
    assert!(error.message.contains("can be written by group or others (mode 0777)"), "{error}");
    assert_eq!(error.kind, KeyErrorKind::Invalid);

    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(script.0.path(), Permissions::from_mode(0o777)).unwrap();
    let error = script.fetch().unwrap_err();
    assert!(error.message.contains("can be replaced by other users"), "{error}");

    assert!(!script.0.path().join("ran").exists());
}

#[test]
fn program_that_cannot_be_executed_or_does_not_exist_is_named() {
    let script = Script::new("");
    fs::set_permissions(script.0.path().join("fetch"), Permissions::from_mode(0o644)).unwrap();
    let error = script.fetch().unwrap_err();
    assert!(error.message.starts_with("its program /") && error.message.contains("denied"), "{error}");
    fs::remove_file(script.0.path().join("fetch")).unwrap();
    assert!(script.fetch().unwrap_err().message.contains("No such file"));
}

#[test]
fn program_that_does_not_end_in_time_is_killed_with_what_it_started() {
    let script = Script::new("sleep 600 &\necho $! $$ > pids\necho not yet >&2\nsleep 600");
    let overrun = |seconds| {
        let command = KeyCommand { timeout: Duration::from_secs(seconds), ..script.command(&[]) };
        let error = fetch(command).unwrap_err();
        assert_eq!(error.kind, KeyErrorKind::Unavailable);
        let message = format!("its program has not ended within {seconds} s: not yet");
        // A busy machine may not have run the program so far.
        if error.message == message { Ok(()) } else { Err(error) }
    };
    overrun(1).or_else(|_| overrun(10)).or_else(|_| overrun(60)).unwrap();
    let pids = fs::read_to_string(script.0.path().join("pids")).unwrap();
    for pid in pids.split_whitespace() {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        assert!(!is_running(pid), "{pid:?}");
    }
}

#[test]
fn output_beyond_the_limit_is_refused_and_the_program_killed() {
    let script = Script::new("yes hunter2-canary");
    let error = script.fetch().unwrap_err();
    assert_eq!(error.message, "its program wrote more than 65536 bytes");
    assert_eq!(error.kind, KeyErrorKind::Invalid);
}

#[test]
fn output_of_another_form_is_refused_and_not_shown() {
    for (output, message) in [
        ("hunter2-canary", "a text that is not one JSON object"),
        ("", "a text that is not one JSON object"),
        (r#"{"v":1,"secret":"hunter2-canary"} {}"#, "a text that is not one JSON object"),
        (r#"{"v":"hunter2-canary"}"#, "JSON with other fields than expected"),
        (r#"{"v":1,"secret":"x","hunter2-canary":1}"#, "JSON with other fields than expected"),
        (r#"{"v":1,"secret":"x","ttl":"hunter2-canary"}"#, "JSON with other fields than expected"),
        (r#"{"v":1}"#, "JSON with other fields than expected"),
        (r#"{"v":2,"keyset":"hunter2-canary"}"#, "version 2 of the format, expected version 1"),
        (r#"{"v":1,"secret":["hunter2-canary"]}"#, "a `secret` that is not a string"),
        (r#"{"v":1,"secret":""}"#, "an empty `secret`"),
    ] {
        let script = Script::new(&format!("cat <<'END'\n{output}\nEND"));
        let error = script.fetch().unwrap_err();
        assert!(error.message.contains(message), "{output}: {error}");
        assert_eq!(error.kind, KeyErrorKind::Invalid);
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
    }
}

#[test]
fn exit_status_says_what_kind_of_error_it_is_and_standard_error_why() {
    for (end, kind, description) in [
        ("exit 1", KeyErrorKind::Unavailable, "exit status: 1"),
        ("exit 75", KeyErrorKind::Unavailable, "exit status: 75"),
        ("exit 77", KeyErrorKind::CredentialsRefused, "exit status: 77"),
        ("exit 66", KeyErrorKind::NotFound, "exit status: 66"),
        ("exit 65", KeyErrorKind::Invalid, "exit status: 65"),
        ("kill -9 $$", KeyErrorKind::Unavailable, "signal: 9"),
    ] {
        let script = Script::new(&format!(
            "echo '{{\"v\":1,\"secret\":\"{CANARY}\"}}'\nprintf 'no\\033[1m access\\n' >&2\n{end}"
        ));
        let error = script.fetch().unwrap_err();
        assert_eq!(error.kind, kind, "{end}");
        assert_eq!(error.message, format!("its program failed ({description}): no\\u{{1b}}[1m access"));
        assert!(!format!("{error:?}").contains(CANARY));
    }
    let script = Script::new("yes long | head -c 100000 >&2; echo end >&2; exit 1");
    let error = script.fetch().unwrap_err();
    assert!(error.message.len() < 2000 && error.message.ends_with("end"), "{error}");
}

#[test]
fn program_gets_its_arguments_without_a_shell_and_a_clean_environment() {
    let script = Script::new(
        r#"printf '{"v":1,"secret":"%s|%s|%s"}' "$1" "$2" "$(env | grep -v '^_=\|PWD=\|SHLVL=' | sort | tr '\n' ' ')""#,
    );
    let secret = fetch(script.command(&["$(id)", "a b; c"])).unwrap();
    let path = "PATH=/usr/local/bin:/usr/bin:/bin";
    let passed = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let expected = format!("$(id)|a b; c|CARGO_MANIFEST_DIR={passed} FIXED=7 {path} ");
    assert_eq!(str::from_utf8(secret.content()).unwrap(), expected);
}

#[test]
fn secret_has_the_version_and_the_time_to_live_that_the_program_states() {
    let script =
        Script::new("cat <<'END'\n{\"v\":1,\"secret\":\"a\\nb\",\"version\":\"7\",\"ttl\":300}\nEND");
    let secret = script.fetch().unwrap();
    assert_eq!(secret.content(), b"a\nb");
    assert_eq!((secret.version(), secret.time_to_live()), (Some("7"), Some(Duration::from_secs(300))));

    let secret = Script::new(r#"echo '{"v":1,"secret":"hunter2-canary"}'"#).fetch().unwrap();
    assert_eq!((secret.version(), secret.time_to_live()), (None, None));
    assert!(!format!("{secret:?}").contains(CANARY));
}
