//! The quarantine: what is reported when it is full, and what an operator does with refused tasks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::project::Project;
use crate::support::queue::ONCE;

/// A project whose quarantine stores at most 50 tasks without a proven sender, with `count` such tasks in the queue.
fn flooded(count: usize) -> Project {
    let project = Project::new();
    project.edit("taskseal.toml", "[client]", "[state]\nquarantine_entries = 100\n\n[client]");
    let line = "{\"type\": \"file:digest\", \"queue\": \"default\", \"body\": null}\n";
    project.run_with(&["enqueue", "--jsonl", "-"], line.repeat(count).as_bytes()).ok();
    project.storage().execute("UPDATE record SET envelope = x'00'", []).unwrap();
    project
}

#[test]
fn eviction_is_logged_once_and_counted_in_metrics_and_listing() {
    let project = flooded(200);

    let run = project.run(&["worker", "--once", "--json", "--metrics", "metrics"]);

    assert_eq!(run.ok().json()["evicted"], 150);
    let events: Vec<Value> = run.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let full: Vec<_> = events.iter().filter(|event| event["event"] == "quarantine-full").collect();
    assert!((1..=2).contains(&full.len()), "{full:?}");
    assert!(full[0]["next_step"].as_str().unwrap().contains("quarantine_entries"), "{full:?}");
    assert_eq!(full.iter().map(|event| event["evicted"].as_u64().unwrap()).sum::<u64>(), 150);
    let metrics = fs::read_to_string(project.path("metrics")).unwrap();
    for line in ["entries 50", "evicted_total 150"] {
        assert!(metrics.contains(&format!("\ntaskseal_quarantine_{line}\n")), "{metrics}");
    }
    assert!(!metrics.contains("\ntaskseal_quarantine_bytes 0\n"), "{metrics}");
    let listed = project.run(&["quarantine", "ls"]);
    assert_eq!(listed.ok().text().lines().count(), 51);
    assert!(
        listed.err.contains("evicted since the quarantine was created: 150 (150 unsealed)"),
        "{listed:?}"
    );
    let listed = project.run(&["quarantine", "ls", "--json"]).ok().text();
    assert!(listed.ends_with("{\"evicted\":{\"unsealed\":150},\"v\":1}\n"), "{listed}");
}

/// A project with three refused tasks: 1 and 3 are not sealed, 2 is altered. Returns what was stored of 2.
fn refused() -> (Project, Vec<u8>) {
    let project = Project::new();
    let ids = [project.enqueue(), project.enqueue(), project.enqueue()];
    let storage = project.storage();
    let of = "(SELECT seq FROM task WHERE id = ?1)";
    let mut altered: Vec<u8> = storage
        .query_row(&format!("SELECT envelope FROM record WHERE seq = {of}"), [&ids[1]], |row| row.get(0))
        .unwrap();
    *altered.last_mut().unwrap() ^= 1;
    let store = format!("UPDATE record SET envelope = ?2 WHERE seq = {of}");
    for (id, envelope) in ids.iter().zip([b"\0", &altered[..], b"\0"]) {
        storage.execute(&store, rusqlite::params![id, envelope]).unwrap();
    }
    drop(storage);
    project.run(&ONCE).ok();
    (project, altered)
}

fn numbers(project: &Project, filter: &[&str]) -> Vec<i64> {
    let listed = project.run(&[&["quarantine", "ls", "--json"], filter].concat()).ok().text();
    let entries = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries.map(|entry| entry["number"].as_i64().unwrap()).collect()
}

#[test]
fn listing_is_filtered_by_what_queue_and_envelope_state() {
    let (project, _) = refused();
    let altered = project.run(&["quarantine", "ls", "--json", "--code", "rejected"]).ok().json();
    let number = altered["number"].as_i64().unwrap();
    let rejected = vec![number];

    for filter in [
        &["--kid", "0000000000000000"][..],
        &["--type", "file"],
        &["--older", "1h"],
        &["--state", "released"],
        &["--queue", "other"],
    ] {
        assert!(numbers(&project, filter).is_empty(), "{filter:?}");
    }
    assert_eq!(numbers(&project, &["--kid", altered["kid"].as_str().unwrap()]), rejected);
    assert_eq!(numbers(&project, &["--issuer", "producer"]), rejected);
    assert_eq!(numbers(&project, &["--type", "file:*", "--since", "1h", "--state", "archived"]), [1, 2, 3]);
}

#[test]
fn entries_are_removed_only_if_they_are_named_and_what_the_queue_stores_stays() {
    let (project, _) = refused();
    let prune = |arguments: &[&str]| project.run(&[&["quarantine", "prune"], arguments].concat());

    for arguments in [&[][..], &["--all"], &["--code", "unsealed"], &["1", "--code", "unsealed"]] {
        prune(arguments).failed(2).hinted();
    }
    assert_eq!(prune(&["--older-than", "1h", "--yes"]).ok().text(), "removed: 0 of 0 entries\n");
    assert_eq!(numbers(&project, &[]).len(), 3);
    let unsealed = prune(&["--code", "unsealed", "--yes", "--json"]).ok().json();
    assert_eq!((&unsealed["matched"], &unsealed["removed"]), (&2.into(), &2.into()));
    let left = numbers(&project, &[])[0].to_string();
    let both = prune(&[&left, "9"]);
    both.failed(4).hinted();
    assert_eq!((both.text().as_str(), numbers(&project, &[]).len()), ("removed: 1 of 2 entries\n", 0));
    assert_eq!(project.counts()["archived"], 3);
}

#[test]
fn exported_bytes_are_those_of_the_queue_in_a_new_private_file() {
    let (project, altered) = refused();
    let number = numbers(&project, &["--code", "rejected"])[0].to_string();
    fs::write(project.path("taken"), "before").unwrap();

    project.run(&["quarantine", "export", &number, "-o", "taken"]).failed(1).hinted();
    project.run(&["quarantine", "export", &number, "--out", "bytes"]).ok();

    assert_eq!(fs::read(project.path("taken")).unwrap(), b"before");
    assert_eq!(fs::read(project.path("bytes")).unwrap(), altered);
    assert_eq!(fs::metadata(project.path("bytes")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(project.run(&["quarantine", "export", &number]).ok().out, altered);
    assert!(project.run(&["inspect", "bytes"]).ok().text().contains("file:digest"));
}
