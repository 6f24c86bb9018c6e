//! The metrics file of a worker: which files it replaces, with which mode, and what it says of tokens.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::geteuid;
use taskseal_tests::token_folder::TokenFolder;

use crate::support::project::Project;
use crate::support::token::RunWithToken;

const METRICS: [&str; 4] = ["worker", "--once", "--metrics", "metrics"];

#[test]
fn pipe_device_and_link_are_refused_and_stay() {
    let project = Project::new();
    let file = project.path("metrics");
    let refused = |kind: &str| {
        let run = project.run(&METRICS);
        run.failed(2).hinted();
        assert!(run.err.contains(kind) && run.err.contains("only a regular file is replaced"), "{run:?}");
        let kind = fs::symlink_metadata(&file).unwrap().file_type();
        fs::remove_file(&file).unwrap();
        kind
    };

    mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert!(refused("a pipe").is_fifo());
    symlink(project.path("sample.txt"), &file).unwrap();
    assert!(refused("a symbolic link").is_symlink());
    symlink("/dev/null", &file).unwrap();
    assert!(refused("a symbolic link").is_symlink());
    if geteuid().is_root() {
        mknodat(CWD, &file, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 3)).unwrap();
        assert!(refused("a device").is_char_device());
    }
}

#[test]
fn file_can_be_read_by_a_collector_whatever_the_umask_and_the_mode_before() {
    let project = Project::new();
    let file = project.path("metrics");
    for (umask, mode_before) in [("077", None), ("077", Some(0o600)), ("000", Some(0o666))] {
        if let Some(mode) = mode_before {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        }
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_taskseal")]).args(METRICS);
        let output = command.current_dir(project.dir.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);
    }
}

#[test]
fn health_of_a_token_is_written_below_its_name() {
    let folder = TokenFolder::new();
    let project = folder.project();

    folder.run_in(&project, &METRICS).ok();

    let text = fs::read_to_string(project.join("metrics")).unwrap();
    let token = "token=\"pkcs11:token=plant\"";
    for line in [
        "# HELP taskseal_hsm_up Whether the token can be used.".to_owned(),
        "# TYPE taskseal_hsm_up gauge".to_owned(),
        format!("taskseal_hsm_up{{{token}}} 1"),
        format!("taskseal_hsm_recoveries_total{{{token},level=\"login\"}} 0"),
        format!("taskseal_hsm_sessions{{{token},state=\"abandoned\"}} 0"),
        "# TYPE taskseal_hsm_sign_seconds histogram".to_owned(),
    ] {
        assert!(text.lines().any(|written| written == line), "{line}: {text}");
    }
    // The last bucket of a histogram counts every observation.
    let value = |name: &str| {
        let start = format!("taskseal_hsm_sign_seconds_{name}}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)).map(|value| value.parse::<f64>().unwrap())
    };
    let count = value(&format!("count{{{token}"));
    assert!(count >= Some(1.0), "{text}");
    assert_eq!(value(&format!("bucket{{{token},le=\"+Inf\"")), count);
    assert!(value(&format!("bucket{{{token},le=\"0.00025\"")) <= count, "{text}");
    assert!(value(&format!("sum{{{token}")) > Some(0.0), "{text}");
}
