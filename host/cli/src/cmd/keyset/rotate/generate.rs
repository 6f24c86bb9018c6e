//! The next key of a rotation: generated here, or by a command on the host that uses it.

use std::path::Path;

use taskseal::audit::KeyChange;
use taskseal::keys::{Algorithm, DraftFile, Record, StateChange};
use taskseal_core::keyset::signed::KeyState;
use taskseal_core::{KeyId, Kind, Suite};
use taskseal_hsm::{KeyUri, Usage};

use super::Args;
use super::steps::Step;
use crate::cmd::keyset::change::rights;
use crate::cmd::keyset::draft::{Draft, KEYSET};
use crate::entry_args::relative_to_keyset;
use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::keyset_entry::{Entry, KeyTimes};
use crate::output::shell::shell_word;
use crate::trail::Trail;

/// Generates the key that replaces `model`, with the same purpose and rights, and adds it to the draft as staged. Without a place for
/// it, returns the command that generates it.
pub(super) fn next_key(args: &Args, draft: &mut Draft, model: KeyId, trail: &Trail) -> Result<Step, Failure> {
    let record = draft.record(model)?;
    let Some(algorithm) = record.key().algorithm() else {
        return Err(Failure::usage(format!("key {model} is destroyed")));
    };
    let generated =
        |place, work: &dyn Fn() -> Result<KeySummary, Failure>| trail.key(KeyChange::Generate, place, work);
    let key = match (&args.pkcs11, &args.out) {
        _ if args.dry_run => return Ok(elsewhere(args, record, algorithm)),
        (Some(uri), _) => generated(uri.token_uri().name().to_string(), &|| in_token(uri, algorithm))?,
        (None, Some(out)) => {
            generated(out.display().to_string(), &|| KeySummary::in_file(out, algorithm, "of a rotation"))?
        }
        (None, None) => return Ok(elsewhere(args, record, algorithm)),
    };
    let entry = entry(args, record, &key);
    let mut added = DraftFile::of_text(&args.keyset, entry).map_err(Failure::keyring)?;
    let change = StateChange {
        state: KeyState::Staged,
        since: draft.now,
        use_from: None,
        sign_until: None,
        accept_until: None,
    };
    added.change(key.kid, &change).map_err(Failure::keyring)?;
    draft.file.append(added.text()).map_err(Failure::keyring)?;
    Ok(Step::Generated(key.kid))
}

fn in_token(uri: &KeyUri, algorithm: Algorithm) -> Result<KeySummary, Failure> {
    let usage = match algorithm {
        Algorithm::Es256 => Usage::Sign,
        Algorithm::EcdhEs => Usage::Agree,
        _ => {
            return Err(Failure::usage(
                "a shared key is not generated in a token: a token reveals no secret",
            )
            .hint("use --out FILE"));
        }
    };
    let (Some(label), None) = (uri.object(), uri.id()) else {
        return Err(Failure::usage("the URI of a new key must set `object` and must not set `id`")
            .hint("add `object=NAME`; the id is computed from the key"));
    };
    KeySummary::beside_others(uri.token_uri(), usage, label)
}

fn entry(args: &Args, record: &Record, key: &KeySummary) -> String {
    let location = match key.point {
        Some(_) => key.location.clone(),
        None => relative_to_keyset(&key.location, Path::new(&args.keyset)),
    };
    Entry {
        key: &KeySummary { location, ..key.clone() },
        kind: record.kind(),
        label: record.label(),
        rights: has_rights(record)
            .then(|| rights(record).map(|patterns| patterns.into_iter().map(str::to_owned).collect())),
        state: KeyState::Staged,
        times: KeyTimes::default(),
    }
    .to_toml()
}

/// Returns whether a key has patterns of issuers, types or audiences.
fn has_rights(record: &Record) -> bool {
    rights(record).iter().flatten().any(|pattern| !pattern.is_empty())
}

/// Returns the commands that generate the next key on another host and add it to the draft.
fn elsewhere(args: &Args, record: &Record, algorithm: Algorithm) -> Step {
    let mut add = "taskseal keyset add entry.toml".to_owned();
    if args.keyset.as_os_str() != KEYSET {
        add.push_str(&format!(" --keyset {}", shell_word(&args.keyset.to_string_lossy())));
    }
    Step::Generate { command: command(record, algorithm), add }
}

/// Returns the command that generates a key with the purpose, rights and label of `record`.
fn command(record: &Record, algorithm: Algorithm) -> String {
    let suite = |suite: Suite| format!("shared --suite {}", suite.short_name());
    let kind = match algorithm {
        Algorithm::Es256 => "sign".to_owned(),
        Algorithm::EcdhEs => "receive".to_owned(),
        Algorithm::Hs256 => suite(Suite::M),
        _ if !has_rights(record) => suite(Suite::Se),
        _ => suite(Suite::E),
    };
    let mut command = format!("taskseal keygen {kind} --out FILE");
    for (option, patterns) in ["--issuer", "--type", "--audience"].into_iter().zip(rights(record)) {
        let patterns = patterns.into_iter().filter(|pattern| !pattern.is_empty());
        patterns.for_each(|pattern| command.push_str(&format!(" {option} {}", shell_word(pattern))));
    }
    if record.kind() == Kind::Result {
        command.push_str(" --use result");
    }
    if let Some(label) = record.label() {
        // One argument: a label can begin with a hyphen, which `shell_word` would separate.
        command.push_str(&format!(" --label={}", shell_word(label).trim_start_matches("-- ")));
    }
    command.push_str(" > entry.toml");
    command
}
