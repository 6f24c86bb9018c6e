//! Pages for producers in other languages, with the interpreters and compilers of this machine.

use std::path::Path;
use std::process::Command;

use super::pages::project;
use super::reader::{Reader, first};

/// Returns whether the program can be started; otherwise prints that the test is skipped.
pub(crate) fn have(program: &str, argument: &str) -> bool {
    let found = Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: {program} is missing");
    }
    found
}

pub(crate) fn any_program(reader: &mut Reader) {
    project(reader, "project");
    let page = reader.page.clone();
    if have("python3", "--version") {
        reader.write("producer.py", first(&page, "python").text, 0o644);
        let ids = reader.prepare("python3 producer.py 2> progress");
        assert_eq!(ids.lines().count(), 2, "{ids}");
        let _ = reader.prepare("taskseal worker --once");
        // The second one starts later.
        let _ = reader.prepare(&format!("taskseal result {}", ids.lines().next().unwrap()));
    }
    let printed = reader.run_all();
    assert!(printed.contains("sha256"), "{printed}");
}

/// Ends with the result of a task that the client of asynq enqueued.
pub(crate) fn go(reader: &mut Reader) {
    project(reader, "project");
    let configuration = reader.read("taskseal.toml");
    let broker = format!("[broker]\nurl = \"{}\"", reader.redis.as_ref().unwrap().url());
    reader.write("taskseal.toml", &configuration.replace("[broker]", &broker), 0o644);
    let page = reader.page.clone();
    reader.write("main.go", first(&page, "go").text, 0o644);
    if !have("go", "version") {
        return reader.skip("a Go toolchain");
    }
    // What Go downloads and builds is with the built files of the tests.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    reader.export("GOCACHE", &folder.join("cache"));
    reader.export("GOMODCACHE", &folder.join("modules"));
    let _ = reader.prepare("export GOFLAGS=-modcacherw GOTOOLCHAIN=local");
    let download =
        first(&page, "console").commands().into_iter().find(|command| command.text.starts_with("go get"));
    let download = download.unwrap().text;
    if reader.try_to(&format!("go mod init example.com/producer && {download}")).is_err() {
        return reader.skip("the modules of Go, which cannot be downloaded");
    }
    let _ = reader.prepare("rm go.mod go.sum");

    let printed = reader.run_all();

    assert!(printed.contains("sha256"), "{printed}");
}

/// The readings of a device, without the device: its flash is written, and what it would print is forwarded.
pub(crate) fn firmware(reader: &mut Reader) {
    if !have("python3", "--version") {
        return reader.skip("python3");
    }
    project(reader, "project");
    let seal = "printf 'envelope %s\\n' \"$(taskseal seal --queue default --type file:digest sample.txt | base64 -w 0)\"";
    let _ = reader.prepare(&format!("({seal}; {seal}) > printed"));

    let _ = reader.run_all();

    assert_eq!(reader.prepare("head -c 9 flash.bin | od -An -tx1").trim(), "74 61 73 6b 73 65 61 6c 04");
    let printed = reader.prepare("wc -c < flash.bin; taskseal worker --once");
    assert!(printed.starts_with("16384\n") && printed.contains("done: 2 succeeded"), "{printed}");
}
