//! Examples of configurations and keysets are accepted by the program.

use std::fs;
use std::path::Path;

use taskseal::Config;
use taskseal::keys::{Algorithm, SecretKey};
use taskseal::policy::TypeRules;
use taskseal_tests::documents::{Block, pages, top};

use crate::support::keygen::keygen;
use crate::support::project::Project;

#[test]
fn every_example_of_a_configuration_is_accepted() {
    let mut checked = 0;
    for page in pages() {
        for block in page.blocks().into_iter().filter(|block| block.language == "toml") {
            let place = format!("{}:{}", page.path, block.line);
            match () {
                () if block.text.contains("[[key]]") => keyset(&place, &block),
                () if ["[[type]]", "[[issuer]]"].iter().any(|table| block.text.contains(table)) => {
                    policy(&place, &block);
                }
                () if block.text.contains("[dependencies]") => dependencies(&place, &block),
                () => configuration(&place, &block),
            }
            checked += 1;
        }
    }
    assert!(checked > 8, "{checked} examples are checked");
}

/// An example may be a part of a file: without the deployment, or a field of `[client]`.
fn configuration(place: &str, block: &Block<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taskseal.toml");
    let section =
        if block.text.starts_with("key = ") { "[client]\nissuer = \"shop\"\nsuite = \"S\"\n" } else { "" };
    let deployment = if block.text.contains("deployment = ") { "" } else { "deployment = \"prod\"\n" };
    // The root of an example is shortened, so a new key takes its place.
    let root = SecretKey::create(&folder.path().join("root.key"), Algorithm::Es256, "keysets").unwrap();
    let text = block.text.replace("BHN4…", &root.public().unwrap());
    // Only a Redis carries a keyset.
    let broker = if block.text.contains("keyset_url") && !block.text.contains("[broker]") {
        "[broker]\nurl = \"redis://redis.example:6379/0\"\n"
    } else {
        ""
    };
    fs::write(&file, format!("{deployment}{broker}{section}{text}")).unwrap();
    fs::write(folder.path().join("policy.toml"), "").unwrap();
    let read = Config::load(&file);
    assert!(read.is_ok(), "{place}: {}", read.unwrap_err());
}

fn policy(place: &str, block: &Block<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    fs::write(&file, block.text).unwrap();
    let read = TypeRules::load(&file);
    assert!(read.is_ok(), "{place}: {}", read.unwrap_err());
}

/// The key of an example is shortened, so a new key takes its place.
fn keyset(place: &str, block: &Block<'_>) {
    let project = Project::new();
    let run = project.run(&keygen("S", &["--out", "keys/other.key"]));
    let entry = run.ok().text();
    let value = |name: &str| entry.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let example = block.text.lines().map(|line| match line {
        line if line.starts_with("kid = ") => value("kid = "),
        line if line.starts_with("public = ") => value("public = "),
        line => line.to_owned(),
    });
    let example: Vec<_> = example.collect();
    let keyset = fs::read_to_string(project.path("keyset.toml")).unwrap();
    fs::write(project.path("keyset.toml"), format!("{keyset}\n{}\n", example.join("\n"))).unwrap();
    let run = project.run_with(&["seal", "--queue", "default", "--type", "file:digest"], b"body");
    assert_eq!(run.code, Some(0), "{place}: {}", run.err);
}

/// The library is where the example says, in a folder beside the clone, and its dependencies are those of the workspace.
fn dependencies(place: &str, block: &Block<'_>) {
    let example: toml::Table = block.text.parse().unwrap();
    let workspace: toml::Table = fs::read_to_string(top("Cargo.toml")).unwrap().parse().unwrap();
    let example = example["dependencies"].as_table().unwrap();
    let path = example["taskseal"]["path"].as_str().unwrap();
    let manifest = Path::new(path).strip_prefix("../taskseal").unwrap().join("Cargo.toml");
    assert!(top(manifest.to_str().unwrap()).exists(), "{place}: {path}");
    for (name, dependency) in example.iter().filter(|(name, _)| *name != "taskseal") {
        let ours = &workspace["workspace"]["dependencies"][name]["version"];
        assert_eq!(&dependency["version"], ours, "{place}: {name}");
    }
}
