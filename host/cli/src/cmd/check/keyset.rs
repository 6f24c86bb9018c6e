//! Checks a signed keyset: its number and times, its root, and the checkpoint of this host.

use taskseal::config::{Config, KeysetCarrier};
use taskseal::keys::{Keyring, KeysetHead};
use taskseal::time::{UnixMillis, unix_seconds};

use super::Finding;
use crate::failure::Failure;
use crate::time_arg;

const KEYSET: &str = "keyset";
const CHECKPOINT: &str = "checkpoint";

/// Returns the lines of a keyset that can be used.
pub(super) fn findings(config: &Config, keyset: &Keyring) -> Vec<Finding> {
    let keys = format!("{}: {} keys", source(config), keyset.records().count());
    let Some(head) = keyset.head() else { return vec![Finding::ok(KEYSET, keys)] };
    let mut findings = vec![signed(config, head, &keys)];
    findings.extend(head.refused.iter().map(|error| {
        let failure = Failure::keyring(error.clone());
        Finding::warn(KEYSET, failure.message).hint(failure.hint.unwrap_or_default())
    }));
    findings.push(match head.last_sequence {
        None => Finding::skip(CHECKPOINT, "this host has used no signed keyset yet"),
        Some(last) => Finding::ok(CHECKPOINT, format!("sequence {last}: older keysets are refused")),
    });
    findings
}

/// Returns the place that the keyset is read from: a host that fetches it may have no file of this name.
fn source(config: &Config) -> String {
    let file = config.keyset.display();
    match &config.keyset_carrier {
        None => file.to_string(),
        Some(KeysetCarrier::Server(server)) => format!("{} or {file}", server.url()),
        Some(_) => format!("broker: or {file}"),
    }
}

fn signed(config: &Config, head: &KeysetHead, keys: &str) -> Finding {
    let (issued, end) = (show(head.issued_at), show(head.not_after));
    let pinned = config.signed_keyset.iter().flat_map(|signed| signed.roots()).count();
    let message = format!(
        "{keys}, `{}` sequence {}, issued {issued}, not after {end}, root {} of {pinned} pinned",
        head.name, head.sequence, head.root
    );
    if !head.must_be_replaced(unix_seconds()) {
        return Finding::ok(KEYSET, message);
    }
    Finding::warn(KEYSET, format!("{message}: less than a third of its life is left"))
        .hint("sign and publish the next keyset: when this one ends, nothing is sealed and no task runs")
}

fn show(seconds: u64) -> String {
    time_arg::show(UnixMillis::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
}
