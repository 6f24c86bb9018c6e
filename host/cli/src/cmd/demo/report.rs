//! The result of the demonstration, as text and as JSON.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use taskseal_core::Refusal;

use super::attacks::Attack;
use super::files::{Files, MAX_BYTES, MAX_FILES};
use crate::failure::Failure;
use crate::output::shell::shell_word;
use crate::ui::Ui;

/// The result.
#[derive(Debug, Default)]
pub(super) struct Report {
    inputs: usize,
    skipped: usize,
    /// Input tasks that ran, each once and with the sealed body.
    pub(super) executed: usize,
    /// Results that were opened and equal to a direct computation.
    pub(super) results_verified: usize,
    /// Input tasks that are neither finished nor in the queue.
    pub(super) lost: usize,
    /// Handler runs for a task that no producer sealed, or for a second time.
    pub(super) forged_executed: usize,
    /// Tasks that ran before the attacks, for the attacker to copy.
    pub(super) prepared: usize,
    pub(super) quarantined: u64,
    pub(super) enqueue_seconds: f64,
    pub(super) total_seconds: f64,
    /// Time from the start of the program to the end of the attacks.
    pub(super) took: Duration,
    pub(super) attempts: Vec<Attempt>,
    /// Use of the token, if the keys of the deployment are in one.
    pub(super) token: Option<TokenUse>,
}

/// Operations with the private keys in a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenUse {
    pub(super) signatures: u64,
    pub(super) agreements: u64,
}

/// An attack and the refusal that stopped it.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) attack: Attack,
    pub(super) stopped_by: Option<Refusal>,
    /// Names of the metadata that differ from the sealed claims, if the refusal is for that.
    pub(super) differing: Vec<&'static str>,
}

impl Attempt {
    fn is_stopped(&self) -> bool {
        self.stopped_by == Some(self.attack.expected)
    }

    /// Returns how the attack ended.
    fn end(&self) -> String {
        match self.stopped_by {
            Some(refusal) if !self.is_stopped() => format!("REFUSED FOR ANOTHER REASON: {}", refusal.code()),
            // Nothing of such a task is verified: it is tried again until the times in its envelope have passed.
            Some(Refusal::UnknownKey) => "postponed: unknown-key".to_owned(),
            Some(refusal) if self.differing.is_empty() => format!("refused: {}", refusal.code()),
            Some(refusal) => format!("refused: {} ({})", refusal.code(), self.differing.join(", ")),
            None => "NOT STOPPED".to_owned(),
        }
    }

    fn as_json(&self) -> Value {
        json!({
            "name": self.attack.name,
            "about": self.attack.about,
            "refused": self.stopped_by.map(Refusal::code),
            "stopped": self.is_stopped(),
        })
    }
}

impl Report {
    pub(super) fn new(files: &Files) -> Self {
        Self { inputs: files.files.len(), skipped: files.skipped, ..Self::default() }
    }

    /// Returns whether every input task ran once, every result was correct and the expected refusal stopped each attack.
    pub(super) fn succeeded(&self) -> bool {
        self.executed == self.inputs
            && self.results_verified == self.inputs
            && self.lost == 0
            && self.forged_executed == 0
            && self.token.is_none_or(|token| token.signatures > 0 && token.agreements > 0)
            && !self.attempts.is_empty()
            && self.attempts.iter().all(Attempt::is_stopped)
    }

    fn per_second(&self, seconds: f64) -> f64 {
        // File counts are far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let inputs = self.inputs as f64;
        (inputs / seconds.max(1e-9)).round()
    }

    /// Prints the report. `kept` is the folder, if it is kept.
    pub(super) fn print(&self, ui: &Ui, kept: Option<&Path>) -> Result<(), Failure> {
        if ui.json() {
            return self.print_json(ui);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, kept);
        ui.text(&text)
    }

    fn write(&self, text: &mut String, kept: Option<&Path>) -> std::fmt::Result {
        self.write_job(text)?;
        writeln!(text)?;
        self.write_attacks(text)?;
        writeln!(text)?;
        self.write_codes(text)?;
        writeln!(text)?;
        self.write_end(text, kept)
    }

    fn write_job(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{} files sealed, enqueued, run and answered", self.inputs)?;
        if self.skipped > 0 {
            writeln!(
                text,
                "  {} skipped: larger than {MAX_BYTES} bytes, more than {MAX_FILES} files, or unreadable",
                self.skipped
            )?;
        }
        writeln!(text, "  {:>6} executed, each once", self.executed)?;
        writeln!(text, "  {:>6} results equal to a direct computation", self.results_verified)?;
        writeln!(text, "  {:>6} lost", self.lost)?;
        writeln!(text, "  {:>6.0} tasks/s sealed and enqueued", self.per_second(self.enqueue_seconds))?;
        writeln!(text, "  {:>6.0} tasks/s from file to result", self.per_second(self.total_seconds))?;
        if let Some(TokenUse { signatures, agreements }) = self.token {
            writeln!(
                text,
                "  {signatures:>6} signatures and {agreements} key agreements in the token, which no key has left"
            )?;
        }
        Ok(())
    }

    fn write_attacks(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "an attacker with full write access to the queue:")?;
        for attempt in &self.attempts {
            let Attack { name, about, .. } = attempt.attack;
            writeln!(text, "  {name:<18} {about:<60} {}", attempt.end())?;
        }
        writeln!(text, "  {:>6} forged tasks ran", self.forged_executed)?;
        writeln!(text, "  {:>6} refused tasks in quarantine", self.quarantined)
    }

    /// Writes one line for each refusal code, in the order in which a worker checks.
    fn write_codes(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "what the codes mean:")?;
        let stopped =
            |refusal: &&Refusal| self.attempts.iter().any(|attempt| attempt.stopped_by == Some(**refusal));
        for refusal in Refusal::ALL.iter().filter(stopped) {
            writeln!(text, "  {:<18} {refusal}", refusal.code())?;
        }
        Ok(())
    }

    fn write_end(&self, text: &mut String, kept: Option<&Path>) -> std::fmt::Result {
        let stopped = self.attempts.iter().filter(|attempt| attempt.is_stopped()).count();
        let verdict = if self.succeeded() { "passed" } else { "FAILED" };
        writeln!(
            text,
            "{verdict} in {:.1} s: {} of {} tasks ran once, {stopped} of {} attacks were stopped",
            self.took.as_secs_f64(),
            self.executed,
            self.inputs,
            self.attempts.len()
        )?;
        match kept {
            Some(dir) => {
                let dir = shell_word(&dir.to_string_lossy());
                writeln!(text, "kept: cd {dir} && taskseal quarantine ls")?;
            }
            None => writeln!(
                text,
                "kept: nothing; `--keep DIR` keeps the queue and the quarantine for a closer look"
            )?,
        }
        writeln!(text, "next: taskseal init my-project")?;
        writeln!(text, "      (install it first: cargo install --locked --path host/cli)")
    }

    fn print_json(&self, ui: &Ui) -> Result<(), Failure> {
        let attacks: Vec<_> = self.attempts.iter().map(Attempt::as_json).collect();
        let mut members = vec![
            ("inputs", json!(self.inputs)),
            ("left_out", json!(self.skipped)),
            ("executed", json!(self.executed)),
            ("results_verified", json!(self.results_verified)),
            ("lost", json!(self.lost)),
            ("forged_executed", json!(self.forged_executed)),
            ("quarantined", json!(self.quarantined)),
            ("enqueued_per_second", json!(self.per_second(self.enqueue_seconds))),
            ("finished_per_second", json!(self.per_second(self.total_seconds))),
            ("attacks", json!(attacks)),
        ];
        if let Some(TokenUse { signatures, agreements }) = self.token {
            members.push(("token", json!({ "signatures": signatures, "agreements": agreements })));
        }
        ui.object(members)
    }
}
