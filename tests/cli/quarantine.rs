//! The quarantine: what is reported when it is full, and what an operator does with refused tasks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;

use serde_json::Value;

use crate::support::project::Project;

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
