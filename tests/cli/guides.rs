//! The commands of the guides, run as a reader would run them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod other_languages;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use taskseal::broker::sqlite::SqliteBroker;

const GET_STARTED: &str = include_str!("../../host/docs/get-started.md");
const TWO_HOSTS: &str = include_str!("../../host/docs/two-hosts.md");
/// Ids that the guides print as an example of an output.
const EXAMPLE_IDS: [&str; 2] =
    ["019ab2c4-8a52-7c31-9d0e-0c6a4f7be21d", "01a22a40-639b-76b4-b6ec-439f060ba0b1"];

#[derive(Debug)]
struct Block<'g> {
    /// The host that the text above names last.
    host: &'g str,
    language: &'g str,
    text: &'g str,
}

/// Returns the fenced blocks of a guide.
fn blocks(guide: &str) -> Vec<Block<'_>> {
    let (mut found, mut host) = (Vec::new(), "");
    for (index, part) in guide.split("```").enumerate() {
        if index % 2 == 1 {
            let (language, text) = part.split_once('\n').unwrap();
            found.push(Block { host, language, text });
            continue;
        }
        for line in part.lines() {
            for name in ["producer", "worker"] {
                if line.contains(&format!("{name} host")) || line.ends_with(&format!("Configure the {name}"))
                {
                    host = name;
                }
            }
        }
    }
    found
}

/// Returns the commands of a block as a script that stops at the first failure. The id of an enqueued task takes the
/// place of the one that the guide prints.
fn script(block: &Block<'_>) -> String {
    let joined = block.text.replace("\\\n", " ");
    let commands = joined.lines().filter_map(|line| line.strip_prefix("$ "));
    let here = commands.filter(|command| !command.starts_with("cargo install"));
    let mut script = String::from("set -e\n");
    for command in here {
        let command =
            EXAMPLE_IDS.iter().fold(command.to_owned(), |text, id| text.replace(id, "$(cat \"$ID\")"));
        let enqueues = command.contains("taskseal enqueue");
        script.push_str(&if enqueues { format!("{command} > \"$ID\"\n") } else { format!("{command}\n") });
    }
    script
}

/// Runs a script in a folder with the program in its path; returns what it prints to standard output.
fn run(script: &str, folder: &Path, id: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_taskseal"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .env("ID", id)
        .env_remove("TASKSEAL_CONFIG")
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn guide_to_get_started_ends_with_the_result_of_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks(GET_STARTED);
    let whole: String = blocks.iter().filter(|block| block.language == "console").map(script).collect();

    let printed = run(&whole, folder.path(), &folder.path().join("id"));

    assert!(printed.lines().last().unwrap().contains("sha256"), "{printed}");
}

#[test]
fn guide_for_two_hosts_ends_with_the_result_on_the_host_of_the_producer() {
    let folder = tempfile::tempdir().unwrap();
    let (top, id) = (folder.path(), folder.path().join("id"));
    for host in ["producer", "worker"] {
        fs::create_dir(top.join(host)).unwrap();
    }
    fs::create_dir(top.join("queue")).unwrap();
    SqliteBroker::open(top.join("queue/queue.db")).unwrap();
    let mut last = String::new();
    for block in blocks(TWO_HOSTS) {
        let host = top.join(block.host);
        match block.language {
            "console" => last = run(&script(&block), &host, &id),
            "toml" => fs::write(host.join("taskseal.toml"), configuration(top, block.text)).unwrap(),
            "sh" => handler(&host, block.text),
            other => panic!("a block of {other}"),
        }
    }

    assert_eq!(last, "sent to ada@example.org\n");
}

/// Returns the configuration of the guide with a queue in a file instead of Redis and with the real key identifiers, and
/// gives both hosts the keyset.
fn configuration(top: &Path, text: &str) -> String {
    let entries =
        |host: &str| fs::read_to_string(top.join(host).join(format!("{host}-entries.toml"))).unwrap();
    let (producer, worker) = (entries("producer"), entries("worker"));
    for host in ["producer", "worker"] {
        fs::write(top.join(host).join("keyset.toml"), format!("{producer}{worker}")).unwrap();
    }
    let (before, broker) = text.split_once("[broker]\n").unwrap();
    let (_, after) = broker.split_once("\n\n").unwrap();
    format!("{before}[broker]\nurl = \"embedded:../queue/queue.db\"\n\n{after}")
        .replace("0011223344556677", kid(&worker, "worker, decrypts tasks"))
        .replace("8899aabbccddeeff", kid(&producer, "shop, decrypts results"))
}

/// Returns the key identifier of the entry with this label.
fn kid<'e>(entries: &'e str, label: &str) -> &'e str {
    let entry = entries.split("[[key]]").find(|entry| entry.contains(label)).unwrap();
    entry.split('"').nth(1).unwrap()
}

fn handler(host: &Path, text: &str) {
    fs::create_dir_all(host.join("handlers")).unwrap();
    let file = host.join("handlers/send");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}
