//! `taskseal key`: what is shown of keys that exist, and their way from and to other programs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use taskseal_tests::token_folder::TokenFolder;

use crate::support::keygen::{ANY, keygen};
use crate::support::program::run_in;
use crate::support::project::{OPEN, Project, SEAL};
use crate::support::token::RunWithToken;

/// Writes a file that only its owner can read.
fn write_private(path: &Path, content: &[u8]) {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.unwrap().write_all(content).unwrap();
}

/// Runs OpenSSL in a folder; returns what it prints.
fn openssl(dir: &Path, arguments: &str) -> Option<Vec<u8>> {
    let Ok(output) = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output() else {
        eprintln!("SKIPPED: openssl is not installed");
        return None;
    };
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn import(purpose: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    let rights: &[&str] = if purpose == "sign" { &ANY } else { &[] };
    [&["key", "import", purpose], more, rights].concat()
}

#[test]
fn private_key_is_neither_printed_nor_written_over_a_file_nor_exported_by_default() {
    let project = Project::new();
    let export = ["key", "export", "--pem", "keys/producer.key"];
    let run = |more: &[&str]| project.run(&[&export[..], more].concat());

    run(&["--private"]).failed(2).hinted();
    run(&["--private", "--out", "-"]).failed(2).hinted();
    run(&["--private", "--out", "sample.txt"]).failed(1).hinted();
    project.run(&export[..2]).failed(2).hinted();
    let public = run(&[]).ok().text();

    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{public}");
    assert_eq!(fs::read_to_string(project.path("sample.txt")).unwrap(), "Bytes worth sealing.\n");
}

#[test]
fn symmetric_key_has_no_public_key_and_is_not_exported() {
    let project = Project::new();
    project.run(&keygen("M", &["--out", "mac.key"])).ok();
    project.run(&["key", "export", "--pem", "mac.key"]).failed(1);
    project.run(&["key", "export", "--pem", "mac.key", "--private", "--out", "mac.pem"]).failed(1).hinted();
    assert!(!project.path("mac.pem").exists());
    assert_eq!(project.run(&["key", "show", "mac.key", "--json"]).ok().json()["purpose"], "shared");
}

#[test]
fn key_that_cannot_be_imported_leaves_no_file_and_says_why() {
    let project = Project::new();
    project.run(&["key", "export", "--pem", "keys/producer.key", "--private", "--out", "private.pem"]).ok();
    project.run(&["key", "export", "--pem", "keys/producer.key", "--out", "public.pem"]).ok();
    let private = fs::read_to_string(project.path("private.pem")).unwrap();
    write_private(&project.path("encrypted.pem"), private.replace("PRIVATE", "ENCRYPTED PRIVATE").as_bytes());
    let refused = |code, pem, more: &[&'static str], message: &str| {
        let run = project.run(&import("sign", &[&["--pem", pem], more].concat()));
        run.failed(code).hinted();
        assert!(run.err.contains(message) && run.out.is_empty(), "{run:?}");
    };

    refused(1, "encrypted.pem", &["--out", "k"], "the private key is encrypted");
    refused(1, "keys/producer.key", &["--out", "k"], "found `TASKSEAL SECRET KEY`");
    refused(1, "missing.pem", &["--out", "k"], "no such file");
    refused(2, "private.pem", &[], "--out FILE");
    refused(2, "public.pem", &["--out", "k"], "omit --out");
    refused(1, "private.pem", &["--out", "sample.txt"], "already exists");
    fs::set_permissions(project.path("private.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    refused(1, "private.pem", &["--out", "k"], "chmod 600");
    project.run(&["key", "import", "sign", "--pem", "public.pem"]).failed(2).hinted();
    project.run(&["key", "import", "--pem", "public.pem"]).failed(2).hinted();

    assert!(!project.path("k").exists());
}

#[test]
fn key_of_another_format_in_the_configuration_is_refused_with_the_command_that_imports_it() {
    let project = Project::new();
    project.run(&["key", "export", "--pem", "keys/producer.key", "--private", "--out", "keys/p.pem"]).ok();
    project.edit("taskseal.toml", "keys/producer.key", "keys/p.pem");

    let run = project.run(&SEAL);

    assert!(run.failed(1).hinted().err.contains("taskseal key import"), "{run:?}");
}

#[test]
fn key_of_a_uri_with_a_pin_is_refused_and_the_pin_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    for command in [&["key", "show"][..], &["key", "entry"], &["key", "export", "--pem"]] {
        let run =
            run_in(dir.path(), &[command, &["PKCS11:token=a;object=b?pin-value=secret77"]].concat(), b"");
        assert!(!run.failed(2).err.contains("secret77"), "{run:?}");
    }
}

#[test]
fn private_key_goes_to_another_program_and_back_and_stays_the_same() {
    let project = Project::new();
    let export = ["key", "export", "--pem", "keys/producer.key", "--private", "--out", "private.pem"];
    project.run(&export).ok();
    assert_eq!(fs::metadata(project.path("private.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    let Some(sec1) = openssl(project.dir.path(), "ec -in private.pem") else { return };
    let public = openssl(project.dir.path(), "pkey -in private.pem -pubout").unwrap();
    assert_eq!(project.run(&["key", "export", "--pem", "keys/producer.key"]).ok().out, public);
    let armour = |name: &str| {
        fs::read_to_string(project.path(name)).unwrap().split_once("-----BEGIN").unwrap().1.to_owned()
    };

    fs::rename(project.path("keys/producer.key"), project.path("before.key")).unwrap();
    project.run_with(&import("sign", &["--pem", "-", "--out", "keys/producer.key"]), &sec1).ok();

    assert_eq!(armour("keys/producer.key"), armour("before.key"));
    assert_eq!(project.run_with(&OPEN, &project.seal(b"x")).ok().out, b"x");
}

#[test]
fn keys_that_openssl_generates_seal_and_open() {
    let project = Project::new();
    let dir = project.dir.path();
    let Some(sign) = openssl(dir, "ecparam -name prime256v1 -genkey") else { return };
    write_private(&project.path("sign.pem"), &sign);
    let receive = openssl(dir, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256").unwrap();
    write_private(&project.path("receive.pem"), &receive);
    let append = ["--append", "keyset.toml"];

    let run = |arguments: &[&str]| project.run(arguments).ok().json();
    let sign =
        import("sign", &[&["--json", "--pem", "sign.pem", "--out", "keys/sign.key"], &append[..]].concat());
    let receive = import(
        "receive",
        &[&["--json", "--pem", "receive.pem", "--out", "keys/receive.key"], &append[..]].concat(),
    );
    run(&sign);
    let recipient = run(&receive)["kid"].as_str().unwrap().to_owned();
    // A recipient that the configuration names takes precedence over that of the keyset.
    project.edit("taskseal.toml", "suite = \"SP\"", &format!("suite = \"SP\"\nrecipient = \"{recipient}\""));
    project.edit("taskseal.toml", "keys/producer.key", "keys/sign.key");
    project.edit("taskseal.toml", "keys/worker.key", "keys/receive.key");

    assert_eq!(project.run_with(&OPEN, &project.seal(b"x")).ok().out, b"x");
}

#[test]
fn public_key_in_pem_has_the_entry_of_its_private_key() {
    let project = Project::new();
    for (purpose, file) in [("sign", "keys/producer.key"), ("receive", "keys/worker.key")] {
        let rights: &[&str] = if purpose == "sign" { &ANY } else { &[] };
        let pem = project.run(&["key", "export", "--pem", file]).ok().out.clone();
        let entry = project.run(&[&["key", "entry", file], rights].concat()).ok().text();
        assert_eq!(project.run_with(&import(purpose, &["--pem", "-"]), &pem).ok().text(), entry);
        let shown = project.run(&["key", "show", file, "--json"]).ok().json();
        assert_eq!(shown["purpose"], purpose);
        for member in ["kid", "alg", "public"] {
            let line = format!("{member} = {}", shown[member]);
            assert!(entry.lines().any(|found| found == line), "{line}: {entry}");
        }
    }
    project.run(&["key", "entry", "keys/producer.key"]).failed(2).hinted();
}

#[test]
fn key_that_decrypts_has_all_three_rights_or_none() {
    let project = Project::new();
    for incomplete in ["--issuer", "--type", "--audience"] {
        let keygen = ["keygen", "receive", "--out", "new.key", incomplete, "*"];
        project.run(&keygen).failed(2).hinted();
        project.run(&["key", "entry", "keys/worker.key", incomplete, "*"]).failed(2).hinted();
    }
    assert!(!project.path("new.key").exists());
    let rights = "issuers = [\"shop\"]\ntypes = [\"*\"]\naudiences = [\"local/*\"]\n";
    let named = ["--issuer", "shop", "--type", "*", "--audience", "local/*"];
    let entry = |arguments: &[&str], rights: &[&str]| project.run(&[arguments, rights].concat()).ok().text();
    assert!(entry(&["keygen", "receive", "--out", "new.key"], &named).contains(rights));
    assert!(entry(&["key", "entry", "keys/worker.key"], &named).contains(rights));
    assert!(!entry(&["keygen", "receive", "--out", "bare.key"], &[]).contains("issuers"));
}

#[test]
fn entry_of_a_shared_key_states_its_times_with_and_without_rights() {
    let project = Project::new();
    project.run(&["keygen", "shared", "--suite", "sign-encrypt", "--out", "shared.key"]).ok();
    for rights in [&[][..], &ANY] {
        for (option, field) in
            [("--use-from", "use_from"), ("--sign-until", "sign_until"), ("--accept-until", "accept_until")]
        {
            let arguments = [&["key", "entry", "shared.key", option, "30d"][..], rights].concat();
            let entry = project.run(&arguments).ok().text();
            assert!(entry.contains(&format!("\n{field} = \"")), "{entry}");
        }
    }
}

#[test]
fn key_in_a_token_is_shown_and_its_public_key_exported_but_never_its_private_key() {
    let folder = TokenFolder::new();
    let uri = folder.uri("token=plant;object=k");
    let made = folder.run(&keygen("SP", &["--pkcs11", &uri, "--json"])).ok().json();

    folder.run(&["key", "export", "--pem", &uri, "--private", "--out", "k.pem"]).failed(2).hinted();
    let shown = folder.run(&["key", "show", &uri, "--json"]).ok().json();
    let public = folder.run(&["key", "export", "--pem", &uri]).ok().out.clone();
    write_private(&folder.path("public.pem"), &public);
    let imported = folder.run(&import("receive", &["--pem", "public.pem"])).ok().text();

    assert!(!folder.path("k.pem").exists());
    assert_eq!((&shown["kid"], &shown["public"]), (&made["kid"], &made["public"]));
    assert_eq!((shown["purpose"].as_str(), made["entry"].as_str()), (Some("receive"), Some(&*imported)));
}
