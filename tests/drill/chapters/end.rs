//! The end: every good task has run once, and the audit logs verify and tell the story in its order.

use serde_json::Value;

use super::Drill;
use crate::plant::OPERATOR;
use crate::program::Run;

impl Drill {
    pub(crate) fn end(mut self) {
        let forged = self.forger.take().map_or(0, |forger| self.load.stop(forger));
        for producer in std::mem::take(&mut self.producers) {
            let _ = self.load.stop(producer);
        }
        for worker in std::mem::take(&mut self.workers) {
            let _ = worker.stop();
        }
        let ran = self.ran();
        let (good, held_back) = {
            let entries = self.load.accounts.entries();
            assert_eq!(entries.differences(&ran), Vec::<String>::new());
            assert!(entries.replayed > 10, "{} tasks were replayed", entries.replayed);
            (entries.good.len(), entries.held_back)
        };
        self.verify_logs();
        self.tell(
            "end",
            format!(
                "{good} good tasks ran once and have their results, {held_back} were held back by their producers; \
                 {forged} forged or replayed, 0 ran; both audit logs verify"
            ),
        );
    }

    fn verify_logs(&self) {
        let office = |arguments: &str| self.plant.office(arguments);
        let host = |arguments: &str| self.plant.host(arguments);
        let kiosk = &self.keys["kiosk"].kid;
        let signing = &self.keys["signing"].kid;
        tells(
            &office,
            &[
                &|line| line["event"] == "keyset-add" && line["step"] == "done",
                &|line| line["event"] == "keyset-publish" && line["step"] == "done",
                &|line| line["event"] == "keyset-retire" && line["kid"] == *signing,
                &|line| line["event"] == "keyset-disable" && line["kid"] == *signing,
                &|line| line["event"] == "keyset-destroy" && line["kid"] == *signing,
                &|line| line["event"] == "keyset-revoke" && line["kid"] == *kiosk && line["step"] == "done",
                &|line| line["event"] == "keyset-sign" && line["step"] == "failed",
                &|line| line["event"] == "keyset-publish" && line["step"] == "done",
            ],
        );
        let lines = shown(&office("audit show --json"));
        let unnamed = lines.iter().find(|line| line["step"].is_string() && line["sudo_user"] != OPERATOR);
        assert!(unnamed.is_none(), "{unnamed:?}");
        let changed = |kid: &str, change: &str| {
            let change = format!("{kid} {change}");
            move |line: &Value| {
                line["event"] == "keys-loaded" && line["changes"].to_string().contains(&change)
            }
        };
        tells(
            &host,
            &[
                &|line| line["event"] == "worker-started",
                &|line| line["event"] == "refused" && line["code"] == "unsealed",
                &changed("policy", ""),
                &changed("policy", ""),
                &|line| {
                    line["event"] == "policy-not-loaded" && line["reason"].to_string().contains("have used")
                },
                &changed(signing, "primary -> retiring"),
                &changed(signing, "retiring -> disabled"),
                &changed(kiosk, "primary -> compromised"),
                &|line| {
                    line["event"] == "refused" && line["code"] == "key-not-valid" && line["kid"] == *kiosk
                },
                &|line| {
                    line["event"] == "keys-not-loaded" && line["reason"].to_string().contains("rolled-back")
                },
                &|line| line["event"] == "keys-not-loaded" && line["reason"].to_string().contains("expired"),
                &|line| {
                    line["event"] == "keys-not-loaded"
                        && line["reason"].to_string().contains("exec:recipient")
                },
                &|line| line["event"] == "worker-stopped",
            ],
        );
        assert_control_fails(self);
    }
}

/// A line of an audit log that the story has.
type Expected<'e> = &'e dyn Fn(&Value) -> bool;

/// Verifies a log and finds lines in this order.
fn tells(command: &dyn Fn(&str) -> Run, story: &[Expected<'_>]) {
    command("audit checkpoint").ok();
    let report = command("audit verify --json");
    assert_eq!(report.ok().json()["valid"], true, "{report:?}");
    let lines = shown(&command("audit show --json"));
    let mut left = lines.iter();
    for (number, expected) in story.iter().enumerate() {
        let events =
            || lines.iter().map(|line| format!("{} {}", line["event"], line["reason"])).collect::<Vec<_>>();
        assert!(left.any(expected), "part {number} of the story is not there: {:#?}", events());
    }
}

fn shown(run: &Run) -> Vec<Value> {
    run.ok().text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A log of which one line is removed does not verify.
fn assert_control_fails(drill: &Drill) {
    let log = "host/state/audit.jsonl";
    let lines = drill.plant.read(log);
    let kept = lines.split_inclusive('\n').enumerate().filter(|(number, _)| *number != 5);
    drill.plant.write(log, &kept.map(|(_, line)| line).collect::<String>());
    drill.plant.host("audit verify").failed(3);
    drill.plant.write(log, &lines);
    drill.plant.host("audit verify").ok();
}
