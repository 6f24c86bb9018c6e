//! `taskseal keyset init`: the draft of a signed keyset, and its root keys.

use std::path::{Path, PathBuf};

use serde_json::json;
use taskseal_core::name::KeysetName;

use super::draft::{Draft, KEYSET};
use super::root;
use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::keyset_entry::quoted;
use crate::output::shell::shell_word;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the draft `keyset.toml`, which is created if it does not exist
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Name of the keyset: that of the deployment
    #[arg(long, value_parser = name)]
    name: String,
    /// File or token URI of the root key, which is generated if it does not exist
    #[arg(long, value_name = "FILE|URI")]
    root: String,
    /// Second root key, kept elsewhere: it signs if the first is lost
    #[arg(long, value_name = "FILE|URI")]
    second_root: Option<String>,
}

fn name(text: &str) -> Result<String, String> {
    KeysetName::new(text)
        .map(|name| name.as_str().to_owned())
        .map_err(|_| "expected 1 to 64 printable ASCII characters without spaces".to_owned())
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let path = args.dir.join(KEYSET);
    let mut draft = open(&path)?;
    if draft.file.settings().is_some() {
        return Err(Failure::new(format!("{}: has a table [keyset] already", path.display()))
            .hint("`taskseal keyset show` shows it; edit the table to change it"));
    }
    let locations = [Some(&args.root), args.second_root.as_ref()];
    let roots = locations.into_iter().flatten().map(|location| root::find_or_generate(location, ui));
    let roots = roots.collect::<Result<Vec<_>, _>>()?;
    check(&draft, &roots)?;
    let publics: Vec<_> = roots.iter().filter_map(KeySummary::public).collect();
    draft.file.insert_at_start(&table(&args.name, &publics)).map_err(Failure::keyring)?;
    draft.store(false)?;
    print(args, &path, &publics, ui)
}

fn open(path: &Path) -> Result<Draft, Failure> {
    if path.exists() { Draft::open(path) } else { Draft::create(path, String::new()) }
}

/// Checks that the roots sign keysets only, and that they differ.
fn check(draft: &Draft, roots: &[KeySummary]) -> Result<(), Failure> {
    if let Some(root) = roots.iter().find(|root| draft.file.record(root.kid).is_some()) {
        return Err(Failure::usage(format!("root {} is a key of the keyset", root.kid))
            .hint("name another file: a root signs keysets only"));
    }
    match roots {
        [first, second] if first.kid == second.kid => {
            Err(Failure::usage("the two roots are the same key").hint("name two files, kept in two places"))
        }
        _ => Ok(()),
    }
}

fn table(name: &str, roots: &[String]) -> String {
    format!(
        "# `taskseal keyset sign` signs this file with a root. Hosts that read this file itself ignore the table.
[keyset]
name = {}
# Pinned on every host.
{}
# Time for which a signed keyset is in force.
lifetime = \"30d\"
# Time in which every host has fetched a new keyset: at least twice the interval at which hosts fetch it.
distribution = \"10m\"
# Longest time from the sealing of a task to its run.
longest_task = \"7d\"

",
        quoted(name),
        roots_line(roots)
    )
}

fn roots_line(roots: &[String]) -> String {
    let roots: Vec<_> = roots.iter().map(|root| quoted(root)).collect();
    format!("roots = [{}]", roots.join(", "))
}

fn print(args: &Args, path: &Path, roots: &[String], ui: &Ui) -> Result<(), Failure> {
    let next = format!("taskseal keyset add FILE --keyset {}", shell_word(&path.to_string_lossy()));
    if ui.json() {
        let file = json!(path.to_string_lossy());
        let members = vec![
            ("file", file),
            ("name", json!(args.name)),
            ("roots", json!(roots)),
            ("next", json!([next])),
        ];
        return ui.object(members);
    }
    ui.note(&format!("created {}; pin this line in [keys] of every host:", path.display()));
    ui.text(&format!("{}\n", roots_line(roots)))
}
