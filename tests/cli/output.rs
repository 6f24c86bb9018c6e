//! The output contract: standard output, standard error, exit codes, and what the program never prints or overwrites.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use taskseal::keys::{Keyring, SealingSource};
use taskseal_core::{Audience, Claims, ContentType, Issuer, Kind, Suite, TaskId, TaskType};

use crate::support::keygen::keygen;
use crate::support::program::{run_in, run_with_environment, spawn};
use crate::support::project::{OPEN, Project, SEAL};

#[test]
fn key_file_open_to_others_is_refused_with_the_command_that_helps() {
    let project = Project::new();
    fs::set_permissions(project.path("keys/producer.key"), Permissions::from_mode(0o644)).unwrap();

    let run = project.run(&SEAL);

    run.failed(1).hinted();
    assert!(run.err.contains("mode 0644") && run.err.contains("chmod 600 "), "{}", run.err);
    assert!(run.out.is_empty());
}

#[test]
fn missing_key_file_is_out_of_reach() {
    let project = Project::new();
    fs::remove_file(project.path("keys/worker.key")).unwrap();

    project.run_with(&OPEN, b"x").failed(5);
}

#[test]
fn key_is_never_overwritten() {
    let project = Project::new();
    let before = fs::read(project.path("keys/producer.key")).unwrap();

    project.run(&keygen("S", &["--out", "keys/producer.key"])).failed(1).hinted();

    assert_eq!(fs::read(project.path("keys/producer.key")).unwrap(), before);
}

#[test]
fn init_leaves_a_folder_with_anything_in_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter"), "dear").unwrap();

    run_in(dir.path(), &["init", "."], b"").failed(1).hinted();

    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn wrong_configuration_gives_line_field_hint_and_exit_code_2() {
    let project = Project::new();
    project.edit("taskseal.toml", "lifetime = \"24h\"", "lifetme = \"24h\"");
    let text = fs::read_to_string(project.path("taskseal.toml")).unwrap();
    let line = text.lines().position(|line| line.starts_with("lifetme")).unwrap() + 1;

    let run = project.run(&SEAL);

    run.failed(2).hinted();
    let expected = format!("taskseal.toml:{line}:1: client.lifetme: unknown field `lifetme`");
    assert!(run.err.contains(&expected), "{}", run.err);
}

#[test]
fn configuration_or_keyset_in_utf16_is_refused_and_a_byte_order_mark_is_not() {
    for name in ["taskseal.toml", "keyset.toml"] {
        let project = Project::new();
        let text = fs::read_to_string(project.path(name)).unwrap();
        fs::write(project.path(name), format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
        project.run(&SEAL).ok();
        let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        fs::write(project.path(name), utf16).unwrap();

        let run = project.run(&SEAL);

        run.failed(2).hinted();
        assert!(run.err.contains(&format!("{name}: the file is UTF-16; expected UTF-8")), "{run:?}");
        assert!(run.err.contains("save the file as UTF-8"), "{run:?}");
    }
}

#[test]
fn missing_configuration_and_wrong_usage_give_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        ["open", "--queue", "default", "-"].as_slice(),
        &["open"],
        &["open", "--queue", "a b"],
        &["init", "d", "--deployment", "a/b"],
        &["no-such-command"],
        &["inspect", "--no-such-option"],
        &[],
    ] {
        run_in(dir.path(), arguments, b"").failed(2).hinted();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn errors_with_json_are_objects_even_if_the_arguments_do_not_parse() {
    let project = Project::new();
    for (arguments, code) in [
        (&["queue", "xyzzy", "--json"][..], 2),
        (&["--json", "open", "--unknown"], 2),
        (&["--json", "result", "xyzzy"], 4),
        (&["--json", "--config", "missing.toml", "queue", "ls"], 2),
    ] {
        let run = project.run(arguments);
        run.failed_as_json(code);
        assert!(run.out.is_empty(), "{run:?}");
    }
}

#[test]
fn help_is_a_command_too() {
    let project = Project::new();
    assert!(project.run(&["help"]).ok().text().contains("Commands:"));
    let of_command = project.run(&["help", "enqueue"]).ok().text();
    assert_eq!(of_command, project.run(&["enqueue", "--help"]).ok().text());
}

#[test]
fn refused_envelopes_give_exit_code_3_the_code_and_no_body() {
    let project = Project::new();
    let envelope = project.seal(b"the body");
    let mut tampered = envelope.clone();
    *tampered.last_mut().unwrap() ^= 1;
    let refused = |arguments: &[&str], input: &[u8], code: &str| {
        let run = project.run_with(arguments, input);
        run.failed(3);
        assert!(run.out.is_empty(), "{run:?}");
        assert!(run.err.contains(&format!("({code})")), "{run:?}");
        let json = project.run_with(&[arguments, &["--json"]].concat(), input).failed_as_json(3).json();
        assert_eq!((&json["v"], &json["refused"]), (&1.into(), &code.into()));
        assert!(json.get("body").is_none());
    };

    refused(&OPEN, b"{\"not\": \"sealed\"}", "unsealed");
    refused(&OPEN, &envelope[..100], "malformed");
    refused(&OPEN, &[&envelope[..], b"x"].concat(), "malformed");
    refused(&OPEN, &tampered, "rejected");
    refused(&["open", "--queue", "other"], &envelope, "wrong-audience");
    refused(&["open", "--queue", "default", "--request", "sample.txt"], &envelope, "wrong-kind");

    project.edit("keyset.toml", "issuers = [\"producer\"]", "issuers = [\"another\"]");
    refused(&OPEN, &envelope, "issuer-not-allowed");
    project.edit(
        "keyset.toml",
        "issuers = [\"another\"]",
        "issuers = [\"producer\"]\nstate = \"compromised\"",
    );
    refused(&OPEN, &envelope, "key-not-valid");
    project.edit("taskseal.toml", "suites = [\"SP\"]", "suites = [\"S\"]");
    refused(&OPEN, &envelope, "suite-not-allowed");
}

#[test]
fn unknown_key_is_named_beside_the_known_ones() {
    let (project, stranger) = (Project::new(), Project::new());
    let envelope = stranger.seal(b"");
    let kid = stranger.run_with(&["inspect", "--json"], &envelope).json()["kid"].clone();

    let run = project.run_with(&OPEN, &envelope);

    run.failed(3).hinted();
    assert!(run.err.contains(kid.as_str().unwrap()), "{}", run.err);
    let keyring = Keyring::load(&project.path("keyset.toml")).unwrap();
    assert_eq!(keyring.known_kids().count(), 4);
    assert!(keyring.known_kids().all(|kid| run.err.contains(&kid.to_string())), "{}", run.err);
}

#[test]
fn no_secret_is_printed_by_any_command() {
    let project = Project::new();
    let mut printed = Vec::new();
    let mut names: Vec<_> =
        ["producer", "worker", "worker-sign", "reader"].map(|name| format!("keys/{name}.key")).into();
    for suite in ["S", "M", "E", "SE", "SP"] {
        for format in [[].as_slice(), &["--json"]] {
            let name = format!("{}.key", names.len());
            let run = project.run(&keygen(suite, &[&["--out", &name], format].concat()));
            printed.extend([run.ok().out.clone(), run.err.into_bytes()]);
            names.push(name);
        }
    }
    let envelope = project.seal(b"x");
    for arguments in [OPEN.as_slice(), &["inspect"], &["inspect", "--json"]] {
        let run = project.run_with(arguments, &envelope);
        printed.extend([run.ok().out.clone(), run.err.into_bytes()]);
    }
    let secrets: Vec<_> = names.iter().map(|name| fs::read_to_string(project.path(name)).unwrap()).collect();
    project.edit("keys/worker.key", "END", "EDN");
    printed.push(project.run_with(&OPEN, &envelope).failed(1).err.clone().into_bytes());
    for arguments in [["check"].as_slice(), &["check", "--json"]] {
        printed.push(project.run(arguments).failed(1).out.clone());
    }

    for secret in &secrets {
        let armour: String = secret.lines().filter(|line| !line.starts_with(['#', '-'])).collect();
        // The 32 secret bytes are the last ones: 43 characters of base64.
        let (_, secret) = armour.split_at(armour.len() - 43);
        for part in secret.as_bytes().windows(12) {
            let found = printed.iter().any(|text| text.windows(part.len()).any(|window| window == part));
            assert!(!found, "{}", String::from_utf8_lossy(part));
        }
    }
}

#[test]
fn text_from_files_and_arguments_reaches_the_terminal_escaped() {
    let project = Project::new();
    let evil = "a\u{1b}[2J\u{202e}b";

    let argument = project.run(&["seal", "--queue", "default", "--type", evil]);
    let name = project.run(&["inspect", evil]);
    let option = project.run(&[evil]);
    project.edit("taskseal.toml", "[client]", "[client]\n\"\\u001b[2J\" = 1");
    let file = project.run(&SEAL);

    for run in [argument.failed(2), name.failed(1), option.failed(2), file.failed(2)] {
        assert!(!run.err.contains(['\u{1b}', '\u{202e}']), "{run:?}");
    }
    let check = project.run(&["check"]).failed(2).text();
    assert!(check.starts_with("fail  configuration") && !check.contains('\u{1b}'), "{check:?}");
}

#[test]
fn hostile_claims_are_shown_on_one_line_each() {
    let project = Project::new();
    let keyring = Keyring::load(&project.path("keyset.toml")).unwrap();
    let source = SealingSource::new(Suite::S, project.path("keys/producer.key"));
    let sealing = keyring.sealing_key(&source, Kind::Task).unwrap();
    let claims = Claims::new(
        Issuer::new("me\\n\\x1b[31m").unwrap(),
        TaskType::new("t").unwrap(),
        Audience::new("a/b").unwrap(),
        TaskId::from_bytes([7; 16]),
    )
    .issued_at(1 << 39)
    .expires_at((1 << 40) - 1);
    let envelope = sealing.seal(&claims, ContentType::JSON, b"{}").unwrap();

    let text = project.run_with(&["inspect"], &envelope).ok().text();

    assert!(text.contains("me\\\\n\\\\x1b[31m\n"), "{text}");
    assert!(text.contains("expires_at  1099511627775\n"), "{text}");
    // A control character in a claim is malformed already.
    let raw: Vec<_> = envelope.iter().map(|byte| if *byte == b'\\' { 0x1b } else { *byte }).collect();
    assert!(project.run_with(&["inspect"], &raw).failed(3).out.is_empty());
}

#[test]
fn closed_pipe_ends_the_program_without_a_message() {
    let project = Project::new();
    fs::write(project.path("task.cose"), project.seal(&vec![b'x'; 1 << 20])).unwrap();
    let mut child = spawn(project.dir.path(), &[], &["open", "--queue", "default", "--quiet", "task.cose"]);

    let mut reader = BufReader::with_capacity(16, child.stdout.take().unwrap());
    assert!(!reader.fill_buf().unwrap().is_empty());
    drop(reader);
    let output = child.wait_with_output().unwrap();

    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn output_file_is_never_overwritten() {
    let project = Project::new();
    fs::write(project.path("there"), "before").unwrap();

    project.run(&[&SEAL[..], &["--out", "there"]].concat()).failed(1).hinted();

    assert_eq!(fs::read_to_string(project.path("there")).unwrap(), "before");
}

#[test]
fn key_for_results_does_not_seal_tasks() {
    let project = Project::new();
    project.edit("taskseal.toml", "key = \"keys/producer.key\"", "key = \"keys/worker-sign.key\"");

    let run = project.run(&SEAL);

    run.failed(3).hinted();
    assert!(run.err.contains("has `use = \"result\"`, not \"task\""), "{}", run.err);
}

#[test]
fn init_makes_a_project_in_which_a_sealed_task_opens() {
    let project = Project::new();
    let sealed = project.seal(b"any \0 bytes \xff");

    let run = project.run_with(&OPEN, &sealed);

    assert_eq!(run.ok().out, b"any \0 bytes \xff");
    assert!(run.err.starts_with("taskseal: verified: file:digest "), "{}", run.err);
    assert!(project.run_with(&["open", "--queue", "default", "--quiet"], &sealed).ok().err.is_empty());
    for key in fs::read_dir(project.path("keys")).unwrap() {
        assert_eq!(key.unwrap().metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }
}

#[test]
fn init_prints_the_next_commands_ready_to_paste() {
    let dir = tempfile::tempdir().unwrap();

    let run = run_in(dir.path(), &["init", "it's here"], b"");

    let expected = [
        r"cd 'it'\''s here'",
        "taskseal enqueue --queue default --type file:digest --payload sample.txt",
        "taskseal worker --once",
        "taskseal result ID",
    ];
    assert_eq!(run.ok().text().lines().collect::<Vec<_>>(), expected);
    assert!(dir.path().join("it's here/taskseal.toml").exists());
}

#[test]
fn sample_handler_answers_with_the_digest_of_its_input() {
    let project = Project::new();
    let mut child = Command::new(project.path("handlers/digest"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"abc").unwrap();

    let answer: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();

    // FIPS 180-4, the example of one block.
    assert_eq!(answer["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn json_of_seal_open_and_inspect_has_the_members_it_promises() {
    let project = Project::new();
    let id = "0193a5b0-0000-7000-8000-000000000001";
    let arguments = [&SEAL[..], &["--id", id, "--json", "--out", "task.cose"]].concat();

    let sealed = project.run_with(&arguments, b"abc").ok().json();
    let opened = project.run(&["open", "--queue", "default", "--json", "task.cose"]).ok().json();
    let inspected = project.run(&["inspect", "--json", "task.cose"]).ok().json();

    for json in [&sealed, &opened, &inspected] {
        assert_eq!((&json["v"], &json["id"], &json["suite"]), (&1.into(), &id.into(), &"SP".into()));
        assert_eq!(json["kid"], sealed["kid"]);
    }
    assert_eq!((&opened["verified"], &opened["body"]), (&true.into(), &"YWJj".into()));
    assert_eq!((&inspected["unverified"], &inspected["body_bytes"]), (&true.into(), &3.into()));
    assert_eq!((&opened["issuer"], &opened["audience"]), (&"producer".into(), &"local/default".into()));
    assert!(inspected.get("body").is_none() && sealed.get("envelope").is_none());
}

#[test]
fn inspect_says_unverified_and_needs_no_configuration() {
    let project = Project::new();
    let envelope = project.seal(b"qrs");
    let elsewhere = tempfile::tempdir().unwrap();

    let text = run_in(elsewhere.path(), &["inspect"], &envelope).ok().text();

    assert!(text.starts_with("unverified: "), "{text}");
    assert!(text.contains("file:digest") && !text.contains("qrs"), "{text}");
}

#[test]
fn shared_key_that_keygen_makes_for_suite_se_encrypts_inside_a_signature_and_one_of_suite_e_does_not() {
    let project = Project::new();
    let shared = |suite, name| {
        let mut keyset = fs::read(project.path("keyset.toml")).unwrap();
        keyset.extend(&project.run(&keygen(suite, &["--out", name])).ok().out);
        fs::write(project.path("keyset.toml"), keyset).unwrap();
    };
    let se = "suite = \"SE\"\nencryption_key = \"shared.key\"";
    project.edit("taskseal.toml", "suite = \"SP\"", se);
    project.edit("taskseal.toml", "suites = [\"SP\"]", "suites = [\"SE\"]");

    shared("E", "shared.key");
    let refused = project.run_with(&SEAL, b"abc");
    assert!(refused.failed(3).hinted().err.contains("one of suite E"), "{refused:?}");

    fs::remove_file(project.path("shared.key")).unwrap();
    fs::write(project.path("keyset.toml"), {
        let keyset = fs::read_to_string(project.path("keyset.toml")).unwrap();
        keyset.rsplit_once("[[key]]").unwrap().0.to_owned()
    })
    .unwrap();
    shared("SE", "shared.key");
    assert_eq!(project.run_with(&OPEN, &project.seal(b"abc")).ok().out, b"abc");
}

#[test]
fn completions_name_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = run_in(dir.path(), &["completions", shell], b"").ok().text();
        for command in ["init", "keygen", "seal", "open", "inspect", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn doctor_needs_no_project_and_tells_the_same_in_both_forms() {
    let dir = tempfile::tempdir().unwrap();
    let text = run_in(dir.path(), &["doctor"], b"").ok().text();
    let report = run_in(dir.path(), &["doctor", "--json"], b"").ok().json();
    assert_eq!(report["v"], 1);
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.iter().map(|check| &check["check"]).collect::<Vec<_>>(), ["aes", "ghash", "sha256"]);
    for (line, check) in text.lines().zip(checks) {
        let words: Vec<_> = line.split_whitespace().take(3).collect();
        assert_eq!(words, ["verdict", "check", "instructions"].map(|name| check[name].as_str().unwrap()));
        assert_eq!(words[0] == "slow", words[2] == "portable", "{line}");
    }
    assert_eq!(text.lines().count(), checks.len());
}

#[test]
fn configuration_is_found_by_option_then_environment_then_folder() {
    let project = Project::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = project.path("taskseal.toml");
    let with_environment = |value: &Path, more: &[&str]| {
        let arguments = [&SEAL[..], more].concat();
        run_with_environment(elsewhere.path(), &[("TASKSEAL_CONFIG", value)], &arguments, b"").code
    };

    run_in(elsewhere.path(), &SEAL, b"").failed(2).hinted();
    assert_eq!(with_environment(&file, &[]), Some(0));
    assert_eq!(with_environment(Path::new("/nonexistent"), &[]), Some(2));
    assert_eq!(with_environment(Path::new("/nonexistent"), &["--config", file.to_str().unwrap()]), Some(0));
}
