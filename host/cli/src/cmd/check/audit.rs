//! Checks that the audit log can be written, and that its checkpoints are signed.

use taskseal::audit::{self, AuditSettings};
use taskseal::config::Config;
use taskseal::keys::{KeyErrorKind, KeyRef};

use super::Finding;
use super::tokens::Tokens;
use crate::failure::Failure;

const CHECK: &str = "audit";

/// Returns the line of the log; none if this host has no log.
pub(super) fn finding(config: &Config, tokens: &Tokens) -> Option<Finding> {
    let settings = config.audit.as_ref()?;
    Some(match audit::check(settings) {
        Err(error) if settings.required => failed(Failure::file(error), IN_PLACE),
        Err(error) => Finding::warn(CHECK, format!("{error}: actions are not recorded"))
            .hint(error.hint.clone().unwrap_or_else(|| IN_PLACE.to_owned())),
        Ok(()) => match &settings.key {
            None => Finding::warn(CHECK, format!("{}: no checkpoints are signed", named(settings)))
                .hint("without a signature the whole log can be replaced: set `key` in [audit]"),
            Some(key) => signed(config, settings, key, tokens),
        },
    })
}

fn signed(config: &Config, settings: &AuditSettings, key: &KeyRef, tokens: &Tokens) -> Finding {
    if tokens.is_closed(key) {
        return Finding::skip(CHECK, format!("audit.key ({key}): its token is not open"));
    }
    match audit::own_public_key(settings, &config.key_stores) {
        Err(error) if error.kind == KeyErrorKind::LoginOmitted => {
            Finding::skip(CHECK, format!("audit.key ({key}): its token is not open"))
        }
        Err(error) => failed(Failure::key(error), "generate it with `taskseal keygen audit`"),
        Ok(_) => Finding::ok(CHECK, format!("{}: checkpoints are signed with {key}", named(settings))),
    }
}

const IN_PLACE: &str = "remove what is in the place of the log, or name another `file` in [audit]";

/// Returns the line of a failure, with `hint` if it has none.
fn failed(failure: Failure, hint: &str) -> Finding {
    Finding::fail(CHECK, Failure { hint: failure.hint.or_else(|| Some(hint.to_owned())), ..failure })
}

fn named(settings: &AuditSettings) -> String {
    let rule = if settings.required { "" } else { ", not required" };
    format!("{}{rule}", settings.file.display())
}
