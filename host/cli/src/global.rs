//! Options of every command.

use std::path::PathBuf;

/// Options that every command accepts, before or after its name.
#[derive(Debug, clap::Args)]
#[command(next_display_order = 1000)]
pub(crate) struct Global {
    /// Configuration file [default: $TASKSEAL_CONFIG, else taskseal.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON; each object has the version of its format as "v"
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only warnings and errors on standard error
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}
