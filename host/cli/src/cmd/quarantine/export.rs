//! `taskseal quarantine export`.

use std::path::PathBuf;

use taskseal::audit::QuarantineChange;
use taskseal::quarantine::EntryId;

use super::{Store, audited};
use crate::failure::Failure;
use crate::file_arg;
use crate::trail::Trail;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Number of the entry
    number: i64,
    /// New file, which only its owner can read; - is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

pub(super) fn run(store: &Store<'_>, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let id = EntryId(args.number);
    let (_, payload) = store.find(id)?;
    if file_arg::is_standard(&args.out) && Ui::is_terminal() {
        return Err(Failure::usage("the bytes are not printed on a terminal").hint("name a file with -o"));
    }
    // The body may be in clear.
    let trail = Trail::open(store.config, ui)?;
    let action = trail.begin(audited(QuarantineChange::Export, &[id]))?;
    action.end(file_arg::write_private(&args.out, &payload, ui))
}
