//! Pages for one host, with what their readers have before they begin.

use super::languages::have;
use crate::support::queue::store_unsealed;

use super::reader::{Reader, first};

/// The page needs nothing.
pub(crate) fn whole(reader: &mut Reader) {
    let _ = reader.run_all();
}

pub(crate) fn keys_of_other_programs(reader: &mut Reader) {
    let _ = reader.run_all();

    let entries = reader.read("keyset.toml").matches("[[key]]").count();
    assert_eq!(entries, 2);
    let same = reader.prepare("openssl pkey -in private.pem -pubout | cmp - public.pem && echo same");
    assert_eq!(same.trim(), "same");
}

/// The draft of a keyset, whose times pass between two blocks.
pub(crate) fn keyset(reader: &mut Reader) {
    reader.enter("keyset/public");
    reader.enter("keyset");
    let page = reader.page.clone();
    for block in page.blocks() {
        let _ = reader.run(&block);
        for (printed, entry) in [
            ("0011223344556677", "shop.toml"),
            ("8899aabbccddeeff", "shop-2.toml"),
            ("aabbccddeeff0011", "shop-3.toml"),
        ] {
            if reader.exists(entry) {
                let entry = reader.read(entry);
                reader.replace(printed, entry.split('"').nth(1).unwrap());
            }
        }
        if block.text.contains("--force") {
            let shown = reader.prepare("taskseal keyset show public/keyset.cose --json");
            assert!(shown.contains("\"disabled\""), "{shown}");
        }
        let _ = reader.prepare(
            r#"sed -i -E 's/^((since|use_from|sign_until|accept_until) = ).*/\1"2026-01-01T00:00:00Z"/; /^use_from/d' keyset.toml"#,
        );
    }

    let printed = reader
        .prepare("taskseal keyset show public/keyset.cose --json || taskseal keyset show keyset.cose --json");
    assert!(printed.contains("\"sequence\":9") && printed.contains("compromised"), "{printed}");
}

/// Creates a project in a folder of the home folder, which becomes the folder of the shell.
pub(crate) fn project(reader: &mut Reader, name: &str) {
    reader.enter(name);
    let _ = reader.prepare("taskseal init .");
}

pub(crate) fn handlers(reader: &mut Reader) {
    project(reader, "project");
    let page = reader.page.clone();
    reader.write("handlers/digest", first(&page, "sh").text, 0o755);
    let configuration = reader.read("taskseal.toml");
    let (before, _) = configuration.split_once("[[handler]]").unwrap();
    reader.write("taskseal.toml", &format!("{before}{}", first(&page, "toml").text), 0o644);

    let id = reader.prepare("taskseal enqueue --queue default --type file:digest --payload sample.txt");
    let _ = reader.prepare("taskseal worker --once");
    let result = reader.prepare(&format!("taskseal result {id}"));

    let digest = reader.prepare("sha256sum < sample.txt");
    assert!(result.contains(digest.split(' ').next().unwrap()), "{result}");
}

/// A project without an audit log.
pub(crate) fn audit(reader: &mut Reader) {
    project(reader, "project");
    let _ = reader.run_all();
}

/// A project whose queue has a task that is not sealed.
pub(crate) fn introduce_sealing(reader: &mut Reader) {
    project(reader, "project");
    let page = reader.page.clone();
    let examples: Vec<_> = page.blocks().into_iter().filter(|block| block.language == "toml").collect();
    let [policy, rules] = &examples[..] else { panic!("two examples in TOML") };
    let configuration = reader.read("taskseal.toml");
    reader.write("taskseal.toml", &configuration.replace("[policy]\n", policy.text), 0o644);
    reader.write("policy.toml", rules.text, 0o644);
    store_unsealed(&reader.path("project/queue/queue.db"), "file:digest");

    let last = reader.run_all();

    assert!(last.contains("looser mode of file:digest than \"observe\""), "{last}");
    let status = reader.prepare("taskseal rollout status --json");
    assert!(status.contains("\"sealed\":1,\"unsealed\":1"), "{status}");
}

/// A project with a key file that other users can read.
pub(crate) fn command_line(reader: &mut Reader) {
    project(reader, "project");
    let _ = reader.prepare("chmod 644 keys/worker.key");
    reader.expect("taskseal check", 1);

    let _ = reader.run_all();
}

/// A task whose handler gives up, a refused one, and one of a type that no handler has.
pub(crate) fn when_a_task_fails(reader: &mut Reader) {
    project(reader, "project");
    let configuration = reader.read("taskseal.toml");
    reader.write("handlers/digest", "#!/bin/sh\nexit 65\n", 0o755);
    reader.write(
        "longer.toml",
        &configuration.replace("max_lifetime = \"24h\"", "max_lifetime = \"72h\""),
        0o644,
    );
    let enqueue = "taskseal enqueue --quiet --queue default --payload sample.txt --type";
    let id = reader.prepare(&format!("{enqueue} file:digest"));
    let _ = reader.prepare(&format!("{enqueue} file:digest --lifetime 48h --config longer.toml"));
    let _ = reader.prepare(&format!("{enqueue} file:other --config longer.toml"));
    let _ = reader.prepare("taskseal worker --once");
    reader.replace("ID", id.trim());
    reader.expect("taskseal result ID", 1);

    let _ = reader.run_all();

    reader.write("handlers/digest", "#!/bin/sh\necho corrected\n", 0o755);
    let _ = reader.prepare("taskseal worker --once");
    let printed = reader.prepare(&format!("taskseal result {id}"));
    assert!(printed.ends_with("corrected\n"), "{printed}");
}

/// The command line and the settings of the unit.
pub(crate) fn service(reader: &mut Reader) {
    project(reader, "etc/taskseal");
    let page = reader.page.clone();
    let configuration = reader.read("taskseal.toml");
    reader.write("taskseal.toml", &format!("{configuration}\n{}", first(&page, "toml").text), 0o644);
    let _ = reader.prepare("mkdir -p -m 700 ~/run ~/run/taskseal ~/var ~/var/lib ~/var/lib/taskseal");
    let _ = reader.run_all();
    let _ = reader.prepare("taskseal enqueue --queue default --type file:digest --payload sample.txt");
    let unit = first(&page, "ini").text;
    check_unit(reader, unit);
    let starts = unit.lines().filter(|line| line.starts_with("ExecStart"));
    let commands = starts.map(|line| line.split_once('=').unwrap().1.trim_start_matches('-'));

    let printed: Vec<_> = commands.map(|command| reader.prepare_as_printed(command)).collect();

    assert!(printed.last().unwrap().contains("succeeded"), "{printed:?}");
    assert!(
        reader.path("run/taskseal/metrics.prom").exists()
            && reader.path("var/lib/taskseal/ledger.db").exists()
    );
}

/// Lets systemd check the unit, where it is installed.
fn check_unit(reader: &mut Reader, unit: &str) {
    if !have("systemd-analyze", "--version") {
        return;
    }
    let name = "taskseal-worker.service";
    std::fs::write(
        reader.path(name),
        unit.replace("/usr/local/bin/taskseal", env!("CARGO_BIN_EXE_taskseal")),
    )
    .unwrap();
    let printed = reader.prepare(&format!("systemd-analyze verify --man=no ~/{name} 2>&1 || true"));
    assert!(!printed.contains(name), "{printed}");
}
