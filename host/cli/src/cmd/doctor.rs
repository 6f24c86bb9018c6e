//! `taskseal doctor`: checks which processor instructions the cryptographic primitives use.

use serde_json::{Value, json};
use taskseal_core::Acceleration;
use taskseal_core::acceleration::Instructions;

use crate::failure::Failure;
use crate::ui::Ui;

/// Check which processor instructions the cryptographic primitives use
///
/// Prints one line for each check: `ok`, or `slow` for a primitive without dedicated instructions. Slow is not unsafe: the
/// exit code is 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal doctor --json")]
pub(crate) struct Args {}

/// One check.
struct Check {
    /// Name, stable across releases.
    name: &'static str,
    /// What the primitive is used for.
    about: &'static str,
    found: Instructions,
    /// Processor flags that make it fast.
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
        return ui.object(vec![("checks", checks.iter().map(Check::object).collect())]);
    }
    ui.text(&checks.iter().map(Check::line).collect::<String>())
}

/// The primitives use the same detection at run time.
const fn acceleration(found: Acceleration) -> [Check; 3] {
    let [aes, ghash, sha256] = wanted();
    [
        Check { name: "aes", about: "encrypts and decrypts", found: found.aes, wanted: aes },
        Check { name: "ghash", about: "authenticates ciphertext", found: found.ghash, wanted: ghash },
        Check {
            name: "sha256",
            about: "hashes, derives, authenticates",
            found: found.sha256,
            wanted: sha256,
        },
    ]
}

/// Names of the flags in /proc/cpuinfo.
const fn wanted() -> [&'static str; 3] {
    if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        ["aes", "avx and pclmulqdq", "sha_ni"]
    } else if cfg!(target_arch = "aarch64") {
        ["aes and pmull", "aes and pmull", "sha2"]
    } else {
        ["dedicated instructions", "dedicated instructions", "dedicated instructions"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Instructions) -> Check {
        Check { name: "aes", about: "encrypts", found, wanted: "a flag" }
    }

    #[test]
    fn slow_check_names_the_missing_flags_and_fast_check_does_not() {
        assert_eq!(
            check(Instructions::Portable).line(),
            "slow  aes     portable     encrypts; faster on a processor with a flag\n"
        );
        assert_eq!(check(Instructions::AesNi).line(), "ok    aes     aes-ni       encrypts\n");
    }

    #[test]
    fn report_matches_what_the_primitives_detect() {
        let found = Acceleration::detect();
        let reported = acceleration(found).map(|check| check.found);
        assert_eq!(reported, [found.aes, found.ghash, found.sha256]);
    }
}
