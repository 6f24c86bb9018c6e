//! The Lua scripts of `scripts/`. Each is a constant of this program: input is never part of a script's text, only of its
//! `KEYS` and `ARGV`.

use std::sync::LazyLock;

use redis::{Cmd, Script as Source, cmd};

#[cfg(test)]
mod tests;

/// One script and its hash.
pub(super) struct Script {
    text: &'static str,
    sha: LazyLock<String>,
}

impl Script {
    /// Returns the call by hash: a few dozen bytes instead of the text.
    pub(super) fn by_hash(&self, keys: &[&str], args: &Args<'_>) -> Cmd {
        invocation("EVALSHA", &self.sha, keys, args)
    }

    /// Returns the call by text, after which Redis has the script.
    pub(super) fn by_text(&self, keys: &[&str], args: &Args<'_>) -> Cmd {
        invocation("EVAL", self.text, keys, args)
    }
}

fn invocation(command: &str, script: &str, keys: &[&str], args: &Args<'_>) -> Cmd {
    let mut call = cmd(command);
    call.arg(script).arg(keys.len());
    for key in keys {
        call.arg(*key);
    }
    for arg in &args.0 {
        match arg {
            Arg::Bytes(bytes) => call.arg(*bytes),
            Arg::Owned(bytes) => call.arg(bytes.as_slice()),
            Arg::Int(number) => call.arg(*number),
        };
    }
    call
}

/// The `ARGV` of one call.
#[derive(Debug, Default)]
pub(super) struct Args<'a>(Vec<Arg<'a>>);

#[derive(Debug)]
enum Arg<'a> {
    Bytes(&'a [u8]),
    Owned(Vec<u8>),
    Int(i64),
}

impl<'a> Args<'a> {
    pub(super) fn text(mut self, text: &'a str) -> Self {
        self.push_text(text);
        self
    }

    pub(super) fn int(mut self, number: i64) -> Self {
        self.push_int(number);
        self
    }

    pub(super) fn push_text(&mut self, text: &'a str) {
        self.push_bytes(text.as_bytes());
    }

    pub(super) fn push_bytes(&mut self, bytes: &'a [u8]) {
        self.0.push(Arg::Bytes(bytes));
    }

    pub(super) fn push_owned(&mut self, bytes: impl Into<Vec<u8>>) {
        self.0.push(Arg::Owned(bytes.into()));
    }

    pub(super) fn push_int(&mut self, number: i64) {
        self.0.push(Arg::Int(number));
    }
}

/// Declares a script as the concatenated text of its files.
macro_rules! script {
    ($name:ident = $($file:literal)+) => {
        pub(super) static $name: Script = Script {
            text: concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+),
            sha: LazyLock::new(|| Source::new($name.text).get_hash().to_owned()),
        };
    };
}

script!(ENQUEUE = "clock" "wrong_type" "bounds" "enqueue");
script!(ENQUEUE_UNIQUE = "clock" "wrong_type" "bounds" "enqueue_unique");
script!(DEQUEUE = "clock" "wrong_type" "holder" "listed" "bounds" "dequeue");
script!(SETTLE = "clock" "wrong_type" "holder" "remove_active" "counters" "settle");
script!(EXTEND = "clock" "wrong_type" "holder" "extend");
script!(RECOVER = "clock" "wrong_type" "holder" "listed" "bounds" "recover");
script!(FORWARD = "clock" "wrong_type" "forward");
script!(TIDY = "clock" "wrong_type" "holder" "tidy");
script!(PAUSE = "pause");
script!(PROBE = "probe");
script!(OPERATE = "clock" "wrong_type" "bounds" "groups" "operate");
script!(DELETE_QUEUE = "wrong_type" "bounds" "groups" "delete_queue");
script!(STATS = "clock" "wrong_type" "bounds" "groups" "stats");
script!(LIST = "wrong_type" "holder" "bounds" "groups" "list");
script!(FIND = "wrong_type" "holder" "bounds" "groups" "find");
script!(QUEUES = "queues");
script!(PUBLISH_STATUS = "clock" "publish_status");
script!(STATUSES = "clock" "statuses");
