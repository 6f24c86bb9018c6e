//! `taskseal audit verify`.

use std::path::PathBuf;

use serde_json::{Value, json};
use taskseal::audit::{self, MAX_FAULTS, Report};
use taskseal::config::Config;
use taskseal_core::keys::VerifyingKey;

use super::{files, settings};
use crate::failure::Failure;
use crate::global::Global;
use crate::output::json;
use crate::project;
use crate::ui::Ui;

/// Number of lines that a worker writes before it signs a checkpoint that is due.
const MAX_BATCH: u64 = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of one log, the oldest first [default: all files of the log in the configuration]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Public key whose checkpoints are accepted, in base64url [default: `public` of [audit], else that of `key`]
    #[arg(long, value_name = "PUBLIC", value_parser = public_key)]
    key: Vec<VerifyingKey>,
}

fn public_key(text: &str) -> Result<VerifyingKey, String> {
    let expected = "expected what `taskseal keygen audit` printed: 87 characters in base64url";
    audit::parse_public_key(text).ok_or_else(|| format!("not the public key of an ES256 key: {expected}"))
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let files = files(&args.files, global)?;
    let keys = keys(args, global)?;
    let mut report = audit::verify(&files, &keys).map_err(Failure::file)?;
    if report.unchecked > 0 && report.is_valid() {
        let message = format!("{} checkpoints are signed, and no public key is given", report.unchecked);
        return Err(Failure::usage(message).hint("name it with --key, or with `public` in [audit]"));
    }
    if let Some(last) = files.paths().last().filter(|_| !keys.is_empty()) {
        report.require_signed(last, max_unsigned(args, global));
    }
    print(&report, files.paths().len(), ui)?;
    if report.is_valid() {
        return Ok(());
    }
    let more = if report.faults.len() == MAX_FAULTS { " or more" } else { "" };
    Err(Failure::refused(format!("the audit log does not verify: {}{more} faults", report.faults.len()))
        .hint("compare the files with a copy on another host; `taskseal audit show` shows what is left"))
}

/// Returns the keys that are given, or those of the configuration.
fn keys(args: &Args, global: &Global) -> Result<Vec<VerifyingKey>, Failure> {
    if !args.key.is_empty() {
        return Ok(args.key.clone());
    }
    // Files that are given may be those of another host.
    let Ok(config) = project::config(global) else { return Ok(Vec::new()) };
    let Ok(settings) = settings(&config) else { return Ok(Vec::new()) };
    if !settings.public.is_empty() {
        return Ok(settings.public.clone());
    }
    let own = audit::own_public_key(settings, &config.key_stores).map_err(Failure::key)?;
    Ok(own.into_iter().collect())
}

/// Returns how many lines may follow the last checkpoint: without limit in files that are given, as their host may have another
/// configuration.
fn max_unsigned(args: &Args, global: &Global) -> u64 {
    if !args.files.is_empty() {
        return u64::MAX;
    }
    let lines = |config: Config| settings(&config).map(|settings| settings.checkpoint_lines);
    project::config(global).and_then(lines).map_or(u64::MAX, |lines| lines.saturating_add(MAX_BATCH))
}

fn print(report: &Report, files: usize, ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        return ui.object(vec![
            ("valid", json!(report.is_valid())),
            ("log", json!(report.log)),
            ("files", json!(files)),
            ("first", json!(report.first)),
            ("last", json!(report.last)),
            ("checkpoints", json!(report.checkpoints)),
            ("signed", json!(report.signed)),
            ("unsigned", json!(report.unsigned())),
            ("cuts", json!(report.cuts)),
            ("open_cut_bytes", json!(report.open_cut)),
            ("faults", faults(report)),
        ]);
    }
    let mut text = String::new();
    for fault in &report.faults {
        let (file, line, kind) = (fault.file.display(), fault.line, &fault.kind);
        text.push_str(&format!("{file}:{line}: {}: {kind}\n", kind.code()));
    }
    text.push_str(&summary(report, files));
    ui.text(&text)
}

fn summary(report: &Report, files: usize) -> String {
    let Report { first, last, checkpoints, cuts, open_cut, .. } = report;
    let log = report.log.as_deref().unwrap_or("?").escape_default();
    let mut text = format!("log {log}: lines {first} to {last} in {files} files\n");
    text.push_str(&match report.signed {
        0 => "no line is covered by a verified checkpoint\n".to_owned(),
        signed => format!("{checkpoints} checkpoints verified; lines up to {signed} are covered\n"),
    });
    if report.unsigned() > 0 && report.signed > 0 {
        text.push_str(&format!(
            "{} lines follow the last checkpoint: a removal or change of the last ones cannot be found\n",
            report.unsigned()
        ));
    }
    if *cuts > 0 {
        text.push_str(&format!("{cuts} lines were cut by crashes, as the log states\n"));
    }
    if *open_cut > 0 {
        text.push_str(&format!(
            "the last line is cut after {open_cut} bytes; the next line will record it\n"
        ));
    }
    text
}

fn faults(report: &Report) -> Value {
    let fault = |fault: &audit::Fault| {
        json::nested(vec![
            ("file", json!(fault.file.display().to_string())),
            ("line", json!(fault.line)),
            ("code", json!(fault.kind.code())),
            ("message", json!(fault.kind.to_string())),
        ])
    };
    report.faults.iter().map(fault).collect()
}
