//! The guide for a stolen key, with a worker that runs all the time.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::reader::Reader;
use crate::support::queue::{terminate, until};

/// A worker that is stopped at the end, also after a failed assertion.
struct RunningWorker(Child);

impl RunningWorker {
    fn start(reader: &Reader) -> Self {
        let worker = Command::new(env!("CARGO_BIN_EXE_taskseal"))
            .arg("worker")
            .current_dir(reader.path("project"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(reader.path("worker.log")).unwrap())
            .spawn();
        Self(worker.unwrap())
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        terminate(&self.0);
        let _ = self.0.wait();
    }
}

/// Returns the member `sequence` of the first line in JSON.
fn sequence(printed: &str) -> Option<u64> {
    serde_json::from_str::<Value>(printed.lines().next()?).ok()?["sequence"].as_u64()
}

/// Waits until the worker has the keyset that is published.
fn wait_for_keyset(reader: &mut Reader) {
    let published = sequence(&reader.prepare("taskseal keyset show public/keyset.cose --json 2>/dev/null"));
    assert!(published.is_some(), "no keyset is published");
    until("the worker to load the keyset", || {
        sequence(&reader.prepare("taskseal fleet ls --json 2>/dev/null")) == published
    });
}

/// A deployment with a signed keyset and an audit log. Its queue has a task of the stolen key. Returns the kid of that key.
fn deployment(reader: &mut Reader) -> String {
    reader.enter("project");
    let _ = reader.prepare("taskseal init . --deployment prod");
    let _ = reader.prepare(
        "sed -i 's/\"producer\"/\"shop\"/' taskseal.toml keyset.toml; mv keys/producer.key keys/shop.key; \
         sed -i 's/producer.key/shop.key/' taskseal.toml; mkdir public",
    );
    let roots = reader.prepare("taskseal keyset init --name prod --root root.key 2>/dev/null");
    let configuration = reader.read("taskseal.toml");
    let keys = format!(
        "[audit]\n[fleet]\nstatus_every = \"1s\"\n[keys]\nkeyset = \"public/keyset.cose\"\n{roots}\n[broker]"
    );
    reader.write("taskseal.toml", &configuration.replace("[broker]", &keys), 0o644);
    let draft = reader.read("keyset.toml").replace("distribution = \"10m\"", "distribution = \"0s\"");
    reader.write("keyset.toml", &draft, 0o644);
    let _ = reader.prepare(
        "taskseal keyset sign --root root.key; taskseal keyset publish --to public/keyset.cose; \
         taskseal queue pause default; \
         taskseal enqueue --queue default --type file:digest --payload sample.txt",
    );
    reader
        .prepare("taskseal key show keys/shop.key --json | grep -o '\"kid\":\"[0-9a-f]*' | tail -c 17")
        .trim()
        .to_owned()
}

/// Each change takes effect in the worker that runs, before the next block.
pub(crate) fn stolen_key(reader: &mut Reader) {
    let kid = deployment(reader);
    reader.replace("0011223344556677", &kid);
    let worker = RunningWorker::start(reader);
    wait_for_keyset(reader);

    let page = reader.page.clone();
    let (mut id, mut refused) = (String::new(), String::new());
    for block in page.blocks() {
        let printed = reader.run(&block);
        wait_for_keyset(reader);
        let listing = format!("taskseal quarantine ls --kid {kid}");
        if block.text.contains("taskseal queue resume") {
            until("the task to be refused", || {
                refused = reader.prepare(&listing);
                refused.contains("key-not-valid")
            });
        }
        if block.text.contains("taskseal enqueue") {
            id = printed.lines().last().unwrap().to_owned();
        }
    }

    assert_eq!(refused.lines().count(), 2, "{refused}");
    let result = reader.prepare(&format!("taskseal result {id} --wait 30s"));
    assert!(result.contains("sha256"), "{result}");
    let log = std::fs::read_to_string(reader.path("worker.log")).unwrap();
    assert!(log.contains(&format!("{kid} primary -> compromised")), "{log}");
    let audited = reader.prepare("taskseal audit show --event 'keyset-*'");
    assert!(audited.contains("keyset-revoke") && audited.contains("keyset-destroy"), "{audited}");
    drop(worker);
}
