//! `taskseal doctor`: what this machine is like, as far as tasks are concerned.

use serde_json::{Value, json};
use taskseal_core::Acceleration;
use taskseal_core::acceleration::Instructions;

use crate::ui::{Failure, Ui};

/// Look over this machine: what its processor gives the primitives
///
/// One line a check: `ok`, or `slow` for what runs on no instruction made for it. Slow is never unsafe, so the exit code is 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal doctor --json")]
pub(crate) struct Args {}

/// One thing that was looked at.
struct Check {
    /// Its name, which does not change between releases.
    name: &'static str,
    /// What it is needed for.
    about: &'static str,
    found: Instructions,
    /// The flags of the processor that would make it fast.
    wanted: &'static str,
}

impl Check {
    const fn verdict(&self) -> &'static str {
        if self.found.is_portable() { "slow" } else { "ok" }
    }

    fn line(&self) -> String {
        let line =
            format!("{:<4}  {:<6}  {:<11}  {}", self.verdict(), self.name, self.found.name(), self.about);
        if self.found.is_portable() {
            format!("{line}; faster on a processor with {}\n", self.wanted)
        } else {
            line + "\n"
        }
    }

    fn object(&self) -> Value {
        json!({ "check": self.name, "verdict": self.verdict(), "instructions": self.found.name() })
    }
}

pub(super) fn run(_: &Args, ui: &Ui) -> Result<(), Failure> {
    let checks = acceleration(Acceleration::detect());
    if ui.json() {
        return ui.object([("checks", checks.iter().map(Check::object).collect())]);
    }
    ui.text(&checks.iter().map(Check::line).collect::<String>())
}

/// The primitives decide by the same detection, when they run.
const fn acceleration(found: Acceleration) -> [Check; 3] {
    let [aes, ghash, sha256] = wanted();
    [
        Check { name: "aes", about: "encrypts and decrypts", found: found.aes, wanted: aes },
        Check { name: "ghash", about: "authenticates what is encrypted", found: found.ghash, wanted: ghash },
        Check {
            name: "sha256",
            about: "hashes, derives, authenticates",
            found: found.sha256,
            wanted: sha256,
        },
    ]
}

/// What /proc/cpuinfo calls it.
const fn wanted() -> [&'static str; 3] {
    if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        ["aes", "avx and pclmulqdq", "sha_ni"]
    } else if cfg!(target_arch = "aarch64") {
        ["aes and pmull", "aes and pmull", "sha2"]
    } else {
        ["instructions for it", "instructions for it", "instructions for it"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Instructions) -> Check {
        Check { name: "aes", about: "encrypts", found, wanted: "a flag" }
    }

    #[test]
    fn what_is_slow_says_what_is_missing_and_what_is_fast_does_not() {
        assert_eq!(
            check(Instructions::Portable).line(),
            "slow  aes     portable     encrypts; faster on a processor with a flag\n"
        );
        assert_eq!(check(Instructions::AesNi).line(), "ok    aes     aes-ni       encrypts\n");
    }

    #[test]
    fn report_is_what_the_primitives_detect() {
        let found = Acceleration::detect();
        let reported = acceleration(found).map(|check| check.found);
        assert_eq!(reported, [found.aes, found.ghash, found.sha256]);
    }
}
