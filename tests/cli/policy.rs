//! `taskseal policy check`: what a policy file accepts, and what is probably not intended.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;

use serde_json::Value;

use crate::support::project::Project;

/// A project with this policy file.
pub(crate) fn ruled(rules: &str) -> Project {
    let project = Project::new();
    project.edit("taskseal.toml", "[policy]\n", "[policy]\nfile = \"policy.toml\"\n");
    fs::write(project.path("policy.toml"), rules).unwrap();
    project
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn fault_in_a_policy_file_has_its_line() {
    let project = ruled("[[type]]\ntype = \"a\"\nsuites = [\"X\"]\n");
    for arguments in [&["policy", "check"][..], &["worker", "--once"]] {
        let run = project.run(arguments);
        run.failed(2).hinted();
        assert!(run.err.contains("policy.toml:3:"), "{run:?}");
    }
    fs::write(project.path("policy.toml"), "default = \"allow\"\n").unwrap();
    fs::write(project.path("other.toml"), "default = \"perhaps\"\n").unwrap();
    let run = project.run(&["policy", "check", "other.toml"]);
    run.failed(2).hinted();
    assert!(run.err.contains("other.toml:1:"), "{run:?}");
}

#[test]
fn rule_that_is_probably_not_intended_is_warned_of() {
    let project = ruled(
        "[[type]]\ntype = \"image:*\"\nkids = [\"0011223344556677\"]\nmode = \"observe\"\n\
         [[type]]\ntype = \"old\"\nmode = \"prefer\"\nuntil = \"2020-12-31\"\n",
    );
    let run = project.run(&["policy", "check"]);
    run.ok();
    for warning in [
        "type file:digest has a [[handler]] and no rule",
        "the rule of type image:* has no [[handler]]",
        "the keyset has no key 0011223344556677",
        "mode \"observe\"), and the rule has no `until`",
        "the mode \"prefer\" of type old has ended",
    ] {
        assert!(run.err.contains(warning), "{warning}: {run:?}");
    }
}

#[test]
fn quota_of_an_issuer_is_shown() {
    let project = ruled("default = \"allow\"\n[[issuer]]\nissuer = \"erp-*\"\ntasks_per_minute = 600\n");
    let shown = project.run(&["policy", "check"]);
    assert!(shown.ok().text().contains("issuer erp-*: 600 tasks a minute"), "{shown:?}");
    let found = objects(&project.run(&["policy", "check", "--json"]).ok().text());
    assert_eq!((&found[0]["issuer"], &found[0]["tasks_per_minute"]), (&"erp-*".into(), &600.into()));
}

#[test]
fn policy_is_shown_with_its_fingerprint() {
    let text = "[[type]]\ntype = \"file:digest\"\nissuers = [\"a\", \"b\"]\nmax_age = \"1h\"\n";
    let project = ruled(text);
    let run = project.run(&["policy", "check", "--json"]);
    let found = objects(&run.ok().text());
    assert_eq!((&found[0]["type"], &found[0]["suites"]), (&"file:digest".into(), &vec!["SP"].into()));
    assert_eq!((&found[0]["issuers"], &found[0]["max_age_seconds"]), (&vec!["a", "b"].into(), &3600.into()));
    assert_eq!((&found[1]["default"], &found[1]["warnings"]), (&"deny".into(), &Value::Array(Vec::new())));
    let fingerprint = found[1]["fingerprint"].as_str().unwrap();
    let shown = project.run(&["policy", "check"]);
    assert!(shown.ok().text().contains(&format!("fingerprint: {fingerprint}")), "{shown:?}");
    fs::write(project.path("policy.toml"), text.replace("\"a\", \"b\"", "\"b\", \"a\"")).unwrap();
    assert!(project.run(&["policy", "check"]).ok().text().contains(fingerprint));
}
