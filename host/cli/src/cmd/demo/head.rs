//! What the demonstration prints before it ends: what it uses, and how far it is.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use taskseal::escape::Escaped;
use taskseal::time::UnixMillis;
use taskseal_core::Acceleration;

use super::deployment::SUITE;
use super::queue::Location;
use crate::time_arg;
use crate::ui::Ui;

/// Returns the first lines of the report.
pub(super) fn text(location: &Location, has_token: bool, input: &Path, files: usize) -> String {
    let found = Acceleration::detect();
    let keys = if has_token { "in a private token of SoftHSM" } else { "in files" };
    let lines = [
        ("started", time_arg::show(UnixMillis::now())),
        ("version", format!("taskseal {}", env!("CARGO_PKG_VERSION"))),
        ("broker", location.describe()),
        ("suite", format!("{} ({SUITE}): ES256, ECDH-ES + HKDF-256, A256GCM", SUITE.name())),
        ("keys", keys.to_owned()),
        (
            "processor",
            format!(
                "AES {}, GHASH {}, SHA-256 {}",
                found.aes.name(),
                found.ghash.name(),
                found.sha256.name()
            ),
        ),
        ("input", format!("{files} files below {}", input.display())),
    ];
    let lines = lines.map(|(name, value)| format!("  {name:<10} {}\n", Escaped::new(&value)));
    format!("seal files as tasks, run them, then attack the queue\n{}\n", lines.concat())
}

/// Returns a progress bar that is drawn at once. Where there is no terminal, one line takes its place.
pub(super) fn progress(ui: &Ui, len: usize, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        ui.note(&format!("{len} {what}"));
    }
    let bar = ui.progress(Some(len as u64), &format!("{{pos}}/{{len}} {what}"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
