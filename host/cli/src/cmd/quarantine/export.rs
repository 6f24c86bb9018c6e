//! `taskseal quarantine export`.

use std::path::PathBuf;

use taskseal::quarantine::EntryId;

use super::Store;
use crate::failure::Failure;
use crate::file_arg;
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
    let (_, payload) = store.find(EntryId(args.number))?;
    if file_arg::is_standard(&args.out) && Ui::is_terminal() {
        return Err(Failure::usage("the bytes are not printed on a terminal").hint("name a file with -o"));
    }
    // The body may be in clear.
    file_arg::write_private(&args.out, &payload, ui)
}
