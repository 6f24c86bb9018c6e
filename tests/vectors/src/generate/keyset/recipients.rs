//! Keysets whose key agreement keys have roles, and the recipients that they choose.

use taskseal_core::KeyId;

use super::sealed::{Keyset, ec2, entry, map_of_role, with};
use super::{File, accepted};
use crate::example::agreement_key;
use crate::tree::{Node, int};

const NOW: i64 = super::NOW as i64;
const WORKER: &str = "taskseal example worker key";
/// Labels of key agreement keys of producers, which read results.
const READER: &str = "taskseal example result key";
const OTHER_READER: &str = "taskseal example result key 2";

fn kid(label: &str) -> KeyId {
    agreement_key(label).public_key().kid()
}

/// A key agreement key in a state, with the issuers, types and audiences of its role.
fn recipient(label: &str, state: i64, results: bool, sets: [&str; 3]) -> Node {
    let key = entry(ec2(-25, &agreement_key(label).public_key().to_point()), state);
    with(key, 6, map_of_role(results, sets))
}

/// A primary key for the tasks of the producer, used from a time.
fn of_tasks(label: &str, use_from: Option<i64>) -> Node {
    let key = entry(ec2(-25, &agreement_key(label).public_key().to_point()), 1);
    let key = use_from.into_iter().fold(key, |key, time| with(key, 3, int(time)));
    with(key, 6, map_of_role(false, RIGHTS))
}

const RIGHTS: [&str; 3] = ["sensor-gw-07", "email:*", "prod/*"];
const TASK: &str = "task sensor-gw-07 email:deliver prod/critical";
const RESULT: &str = "result sensor-gw-07 email:deliver prod/critical";

/// An accepted keyset of recipients, ascending by kid; `sealing` are the labels of those that seal.
fn of(
    name: &'static str,
    note: &'static str,
    entries: Vec<(&str, Node)>,
    sealing: &[&str],
    chosen: &[(&str, Option<&str>)],
) -> File {
    let mut entries: Vec<_> = entries.into_iter().map(|(label, entry)| (kid(label), entry)).collect();
    entries.sort_by_key(|(kid, _)| *kid);
    let list = |kids: &[KeyId]| kids.iter().map(KeyId::to_string).collect::<Vec<_>>().join(" ");
    let all: Vec<_> = entries.iter().map(|(kid, _)| *kid).collect();
    let seals: Vec<_> =
        all.iter().copied().filter(|all| sealing.iter().any(|label| kid(label) == *all)).collect();
    let keyset = Keyset::of(entries.into_iter().map(|(_, entry)| entry).collect());
    let file = accepted(name, note, &keyset).yields(&keyset, &list(&seals), &list(&all), "");
    chosen.iter().fold(file, |file, (body, label)| {
        let kid = label.map_or_else(|| "none".to_owned(), |label| kid(label).to_string());
        file.line("recipient", format!("{body} {kid}"))
    })
}

/// One recipient of tasks.
fn one(
    name: &'static str,
    note: &'static str,
    entry: Node,
    seals: bool,
    chosen: &[(&str, Option<&str>)],
) -> File {
    let sealing: &[&str] = if seals { &[WORKER] } else { &[] };
    of(name, note, vec![(WORKER, entry)], sealing, chosen)
}

fn roles() -> Vec<File> {
    let task = |state| recipient(WORKER, state, false, RIGHTS);
    let sets = |sets| recipient(WORKER, 1, false, sets);
    vec![
        one(
            "agreement_with_role",
            "the tasks of one producer are encrypted to it",
            task(1),
            true,
            &[
                (TASK, Some(WORKER)),
                (RESULT, None),
                ("task sensor-gw-08 email:deliver prod/critical", None),
                ("task sensor-gw-07 report:build prod/critical", None),
                ("task sensor-gw-07 email:deliver staging/critical", None),
            ],
        ),
        one(
            "agreement_with_role_of_results",
            "the results of one producer are encrypted to it",
            recipient(WORKER, 1, true, RIGHTS),
            true,
            &[
                (RESULT, Some(WORKER)),
                (TASK, None),
                ("result sensor-gw-08 email:deliver prod/critical", None),
            ],
        ),
        one(
            "agreement_without_role",
            "a key without a role is never chosen",
            super::sealed::worker(),
            true,
            &[(TASK, None), (RESULT, None)],
        ),
        one(
            "agreement_with_role_without_issuers",
            "an absent set of issuers matches no issuer",
            sets(["", "*", "*"]),
            true,
            &[(TASK, None)],
        ),
        one(
            "agreement_with_role_without_types",
            "an absent set of types matches no type",
            sets(["*", "", "*"]),
            true,
            &[(TASK, None)],
        ),
        one(
            "agreement_with_role_without_audiences",
            "an absent set of audiences matches no audience",
            sets(["*", "*", ""]),
            true,
            &[(TASK, None)],
        ),
        one("agreement_with_role_staged", "decrypts, is not chosen yet", task(0), false, &[(TASK, None)]),
    ]
}

fn choices() -> Vec<File> {
    let results = |label, issuer| recipient(label, 1, true, [issuer, "*", "prod/*"]);
    let (lowest, other) =
        if kid(READER) < kid(OTHER_READER) { (READER, OTHER_READER) } else { (OTHER_READER, READER) };
    vec![
        of(
            "recipient_of_each_issuer",
            "results of two producers are encrypted to two keys",
            vec![
                (READER, results(READER, "sensor-gw-07")),
                (OTHER_READER, results(OTHER_READER, "sensor-gw-08")),
                (WORKER, recipient(WORKER, 1, false, ["*", "*", "prod/*"])),
            ],
            &[READER, OTHER_READER, WORKER],
            &[
                (RESULT, Some(READER)),
                ("result sensor-gw-08 email:deliver prod/critical", Some(OTHER_READER)),
                ("result sensor-gw-09 email:deliver prod/critical", None),
                (TASK, Some(WORKER)),
                ("task sensor-gw-09 email:deliver prod/critical", Some(WORKER)),
            ],
        ),
        of(
            "recipient_latest_use_from",
            "of several keys the one that is used from the latest time, not the lowest kid",
            vec![
                (lowest, of_tasks(lowest, Some(NOW - 20))),
                (other, of_tasks(other, Some(NOW - 10))),
                (WORKER, of_tasks(WORKER, None)),
            ],
            &[lowest, other, WORKER],
            &[(TASK, Some(other))],
        ),
        of(
            "recipient_use_from_not_reached",
            "a key that is used from the next second is not chosen",
            vec![(lowest, of_tasks(lowest, Some(NOW))), (other, of_tasks(other, Some(NOW + 1)))],
            &[lowest],
            &[(TASK, Some(lowest))],
        ),
        of(
            "recipient_lowest_kid",
            "of several keys with one use from, the one with the lowest kid; absent counts as 0",
            vec![(lowest, of_tasks(lowest, None)), (other, of_tasks(other, Some(0)))],
            &[lowest, other],
            &[(TASK, Some(lowest))],
        ),
    ]
}

pub(super) fn files() -> Vec<File> {
    [roles(), choices()].concat()
}
