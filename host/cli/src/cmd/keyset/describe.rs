//! `taskseal keyset show`: the keys of a draft or a signed keyset.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use taskseal::keys::{DraftFile, Record, default_distribution};
use taskseal::time::unix_seconds;
use taskseal_core::Kind;
use taskseal_core::keyset::signed::{Entry, EntryKey};

use super::draft::{KEYSET, Signed, entry, read, read_signed, verify_signed};
use super::next_step::next_step;
use super::signed::{self, expiry_warning, shown};
use super::verify::Pinned;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::json::{self, Member, nested};
use crate::output::text;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Draft, or signed keyset
    #[arg(value_name = "FILE", default_value = KEYSET)]
    file: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    if args.file.extension().is_some_and(|extension| extension == "toml") {
        return draft(&read(&args.file)?, ui);
    }
    signed_keyset(&args.file, global, ui)
}

/// A row of the list.
struct Row {
    kid: String,
    label: String,
    algorithm: &'static str,
    kind: &'static str,
    state: &'static str,
    times: [(&'static str, Option<u64>); 4],
    rights: [String; 3],
    next: String,
    /// Whether the signed keyset has the entry as it is.
    is_signed: bool,
}

fn draft(draft: &DraftFile, ui: &Ui) -> Result<(), Failure> {
    let bytes = read_signed(draft)?;
    let signed = verify_signed(draft, bytes.as_deref())?;
    let distribution = draft.settings().map_or(default_distribution(), |settings| settings.distribution);
    let rows: Vec<_> =
        draft.records().map(|record| Row::of_record(record, &signed, distribution.as_secs())).collect();
    let removed = signed.iter().flat_map(|keyset| keyset.entries());
    let removed = removed.filter(|entry| draft.record(entry.kid()).is_none()).count();
    let unsigned = rows.iter().filter(|row| !row.is_signed).count() + removed;
    let mut members = vec![("file", json!(draft.file().to_string_lossy()))];
    members.extend(signed.as_ref().map_or_else(Vec::new, signed::members));
    if draft.settings().is_some() {
        members.push(("unsigned_changes", json!(unsigned)));
    }
    print(members, &rows, ui)?;
    if let Some(warning) = signed.as_ref().and_then(|keyset| expiry_warning(keyset, unix_seconds())) {
        ui.warn(&warning);
    }
    match (draft.settings(), unsigned) {
        (None, _) => ui.note("this keyset is not signed: every host reads the file itself"),
        (Some(_), 0) => {}
        (Some(_), 1) => ui.note("1 change is not signed: `taskseal keyset sign`"),
        (Some(_), changes) => ui.note(&format!("{changes} changes are not signed: `taskseal keyset sign`")),
    }
    Ok(())
}

fn signed_keyset(file: &Path, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let bytes = signed::read(file)?;
    let pinned = Pinned::found(file, global, ui)?;
    let keyset = signed::verify_at_any_time(file, &bytes, &pinned.roots()?)?;
    let rows: Vec<_> = keyset.entries().iter().map(Row::of_entry).collect();
    let mut members = vec![("file", json!(file.to_string_lossy()))];
    members.extend(signed::members(&keyset));
    print(members, &rows, ui)?;
    if let Some(warning) = expiry_warning(&keyset, unix_seconds()) {
        ui.warn(&warning);
    }
    Ok(())
}

fn print(mut members: Vec<Member>, rows: &[Row], ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        members.push(("keys", json!(rows.iter().map(Row::object).collect::<Vec<_>>())));
        return ui.object(members);
    }
    let lines: Vec<_> = rows.iter().map(Row::cells).collect();
    let head = ["KID", "LABEL", "ALG", "USE", "STATE", "TIMES", "RIGHTS", "NEXT"];
    ui.text(&format!("{}\n{}", text::members(&members), text::table(head, &lines)))
}

impl Row {
    fn of_record(record: &Record, signed: &Signed<'_>, distribution: u64) -> Self {
        Self {
            label: record.label().unwrap_or_default().to_owned(),
            kind: json::kind(record.kind()),
            next: next_step(record, distribution),
            is_signed: entry(signed, record.kid()) == Some(&record.to_entry()),
            times: times(record.since(), &record.to_entry()),
            ..Self::of_entry(&record.to_entry())
        }
    }

    fn of_entry(entry: &Entry<'_>) -> Self {
        let role = entry.role.unwrap_or_default();
        Self {
            kid: entry.kid().to_string(),
            label: String::new(),
            algorithm: match entry.key {
                EntryKey::Es256(_) => "ES256",
                EntryKey::Agreement(_) => "ECDH-ES",
                EntryKey::Hmac256(_) => "HS256",
                EntryKey::A256Gcm(_) => "A256GCM",
                _ => "",
            },
            kind: json::kind(entry.role.map_or(Kind::Task, |role| role.kind)),
            state: entry.state.name(),
            times: times(None, entry),
            rights: [role.issuers, role.types, role.audiences].map(|set| set.as_str().to_owned()),
            next: String::new(),
            is_signed: true,
        }
    }

    fn object(&self) -> Value {
        let mut members = vec![
            ("kid", json!(self.kid)),
            ("alg", json!(self.algorithm)),
            ("use", json!(self.kind)),
            ("state", json!(self.state)),
            ("is_signed", json!(self.is_signed)),
        ];
        if !self.label.is_empty() {
            members.push(("label", json!(self.label)));
        }
        members.extend(self.times.iter().filter_map(|(name, at)| at.map(|at| (*name, json!(shown(at))))));
        let rights = ["issuers", "types", "audiences"].into_iter().zip(&self.rights);
        let rights = rights.filter(|(_, patterns)| !patterns.is_empty());
        members.extend(rights.map(|(name, set)| (name, json!(set.split(' ').collect::<Vec<_>>()))));
        if !self.next.is_empty() {
            members.push(("next", json!(self.next)));
        }
        nested(members)
    }

    fn cells(&self) -> [String; 8] {
        let times = self.times.iter().filter_map(|(name, at)| at.map(|at| format!("{name} {}", shown(at))));
        let state = if self.is_signed { self.state.to_owned() } else { format!("{}*", self.state) };
        [
            self.kid.clone(),
            self.label.clone(),
            self.algorithm.to_owned(),
            self.kind.to_owned(),
            state,
            times.collect::<Vec<_>>().join(", "),
            self.rights.iter().filter(|set| !set.is_empty()).cloned().collect::<Vec<_>>().join(" | "),
            self.next.clone(),
        ]
    }
}

const fn times(since: Option<u64>, entry: &Entry<'_>) -> [(&'static str, Option<u64>); 4] {
    [
        ("since", since),
        ("use_from", entry.use_from),
        ("sign_until", entry.sign_until),
        ("accept_until", entry.accept_until),
    ]
}
