//! What takes the place of words that a page prints, where a test cannot use them.

/// A part of the commands and files of a page that is replaced before they are used.
#[derive(Debug)]
pub(crate) struct Substituted {
    pub(crate) page: &'static str,
    pub(crate) printed: &'static str,
    /// `{home}` is the home folder of the reader, `{redis}` the address of a Redis of the test, `{library}` the SoftHSM
    /// library of this machine.
    pub(crate) value: &'static str,
}

const fn entry(page: &'static str, printed: &'static str, value: &'static str) -> Substituted {
    Substituted { page, printed, value }
}

const FAILS: &str = "host/docs/when-a-task-fails.md";
const GO: &str = "host/docs/seal-from-go.md";
const SERVICE: &str = "host/docs/run-as-a-service.md";
const TOKENS: &str = "host/docs/keys-in-tokens.md";
const TWO_HOSTS: &str = "host/docs/two-hosts.md";

/// The replacements, for each page in this order.
pub(crate) const SUBSTITUTED: &[Substituted] = &[
    // A Redis of the test has no certificate that the authorities of the system vouch for.
    entry(TWO_HOSTS, "rediss://producer@redis.example:6380/0", "redis://producer@{redis}/0"),
    entry(TWO_HOSTS, "rediss://worker@redis.example:6380/0", "redis://worker@{redis}/0"),
    entry(GO, "localhost:6379", "{redis}"),
    // Without a terminal these commands ask nothing and need the consent as an option.
    entry(FAILS, "taskseal task run ", "taskseal task run --yes "),
    entry(TOKENS, "/usr/lib/softhsm/libsofthsm2.so", "{library}"),
    entry(TOKENS, "/run/taskseal/pin", "{home}/pin"),
    entry("hsm/README.md", "/usr/lib/softhsm/libsofthsm2.so", "{library}"),
    entry(SERVICE, "sudo -u taskseal ", ""),
    entry(SERVICE, "/usr/local/bin/taskseal worker", "taskseal worker --once"),
    entry(SERVICE, "/usr/local/bin/", ""),
    entry(SERVICE, "/etc/taskseal", "{home}/etc/taskseal"),
    entry(SERVICE, "/run/taskseal", "{home}/run/taskseal"),
    entry(SERVICE, "/var/lib/taskseal", "{home}/var/lib/taskseal"),
];
