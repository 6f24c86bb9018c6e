//! `taskseal keyset publish`: copies the signed keyset to where hosts fetch it.

use std::path::PathBuf;

use serde_json::json;
use taskseal::file_security;
use taskseal::time::unix_seconds;

use super::signed;
use super::verify::{Pinned, PinnedArgs, verified};
use crate::failure::Failure;
use crate::global::Global;
use crate::project;
use crate::session::setup_failure;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Signed keyset
    #[arg(value_name = "FILE", default_value = "keyset.cose")]
    file: PathBuf,
    /// File that hosts read, or that a server delivers to them, which is replaced atomically; or `broker:` for the Redis of the
    /// configuration, from where hosts with `keyset_url = "broker:"` fetch it
    #[arg(long, value_name = "FILE|broker:")]
    to: PathBuf,
    #[command(flatten)]
    pinned: PinnedArgs,
    /// Verify it, and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let bytes = signed::read(&args.file)?;
    let pinned = args.pinned.of(&args.file, global)?;
    let keyset = verified(&args.file, &bytes, &pinned, ui)?;
    if args.to.as_os_str() == BROKER {
        let config = project::config(global)?;
        if !args.dry_run {
            config.publish_keyset(&bytes).map_err(|error| setup_failure(&config, error))?;
        }
        return print(args, &keyset, ui);
    }
    check_newer(args, &bytes, &pinned)?;
    if !args.dry_run {
        // Public: it contains no secret, and its signature protects it.
        file_security::replace_durably(&args.to, &bytes, 0o644).map_err(Failure::file)?;
    }
    print(args, &keyset, ui)
}

/// The Redis of the configuration.
const BROKER: &str = "broker:";

fn print(args: &Args, keyset: &signed::Verified<'_>, ui: &Ui) -> Result<(), Failure> {
    let to = args.to.display();
    if ui.json() {
        let mut members = signed::members(keyset);
        members.extend([("to", json!(to.to_string())), ("dry_run", json!(args.dry_run))]);
        return ui.object(members);
    }
    let verb = if args.dry_run { "would be published" } else { "published" };
    ui.note(&format!("keyset {} {verb} to {to}", keyset.sequence()));
    Ok(())
}

/// Checks that the keyset that hosts fetch is not replaced by an older one, or by one of another history.
fn check_newer(args: &Args, bytes: &[u8], pinned: &Pinned) -> Result<(), Failure> {
    let Some(present) = signed::read_if_present(&args.to)? else { return Ok(()) };
    let roots = pinned.roots()?;
    // Any user may have write access there: what does not verify is replaced.
    let Ok(present) = signed::verify_at_any_time(&args.to, &present, &roots) else { return Ok(()) };
    signed::verify(&args.file, bytes, &roots, Some(&present.checkpoint()), unix_seconds()).map(drop)
}
