//! The keysets that running processes use.

use taskseal::config::Config;
use taskseal::fleet::members;

use super::draft::Draft;
use crate::failure::Failure;
use crate::global::Global;
use crate::project;
use crate::session::Session;
use crate::ui::Ui;

/// A running process and the sequence number of the signed keyset that it uses.
pub(super) struct RunningProcess {
    pub(super) name: String,
    pub(super) sequence: u64,
}

/// Notes in the draft which processes publish a status in the queue of the configuration. A machine without a configuration, such as
/// that of the root, knows none: there only the time of distribution counts, and the command says so. The same holds if the queue does
/// not answer.
pub(super) fn ask_running(draft: &mut Draft, global: &Global, ui: &Ui) {
    draft.fleet = running(draft, global, ui);
}

fn running(draft: &Draft, global: &Global, ui: &Ui) -> Vec<RunningProcess> {
    if !Config::locate(global.config.as_deref()).exists() {
        // A process that reads an unsigned keyset states no number to compare.
        if draft.file.settings().is_some() {
            ui.warn(
                "no configuration: running processes were not asked; run `taskseal fleet ls` on a host with the queue first",
            );
        }
        return Vec::new();
    }
    ask(global).unwrap_or_else(|failure| {
        ui.warn(&format!("cannot find out which keyset the running processes use: {}", failure.message));
        Vec::new()
    })
}

fn ask(global: &Global) -> Result<Vec<RunningProcess>, Failure> {
    let session = Session::connect(global)?;
    let keyset = project::keyset(&session.config)?;
    let found = session.block_on(members(&*session.broker, &keyset, &session.config.deployment));
    let found = found.map_err(|error| session.broker_failure(&error))?;
    let signed = found.into_iter().flatten().filter_map(|member| {
        Some(RunningProcess { name: member.status.process(), sequence: member.status.sequence? })
    });
    Ok(signed.collect())
}
