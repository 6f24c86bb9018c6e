//! The commands of documents that no test of this program can run, each with its reason.

/// Commands that begin with the same words, in one page or in all.
#[derive(Debug)]
pub(crate) struct NotRun {
    /// Path of the page; empty for all pages.
    page: &'static str,
    command: &'static str,
    reason: &'static str,
}

impl NotRun {
    /// Returns whether the entry stands for this command.
    pub(crate) fn is(&self, page: &str, command: &str) -> bool {
        (self.page.is_empty() || self.page == page) && command.starts_with(self.command)
    }

    pub(crate) fn describe(&self) -> String {
        format!("{} {}: {}", self.page, self.command, self.reason)
    }
}

const fn anywhere(command: &'static str, reason: &'static str) -> NotRun {
    NotRun { page: "", command, reason }
}

const fn of(page: &'static str, command: &'static str, reason: &'static str) -> NotRun {
    NotRun { page, command, reason }
}

const BUILDS: &str = "builds the program that these tests have built";
const CAPI: &str = "builds the C library: `core/capi/check` runs it, or does the same";
const CLOUD: &str =
    "needs an account of Azure: the contract server of the test has the key and the secret that it creates";
const DEVICE: &str = "builds and runs a firmware: the step `devices` does it";
const INTEROP: &str = "downloads packages: the step `interop` does it";
const SYSTEM: &str = "changes the system";
const TESTS: &str = "runs the tests of which this is one";
const TOOLS: &str = "installs programs";

const C: &str = "core/capi/README.md";
const FIRMWARE: &str = "core/firmware/README.md";
const OTHERS: &str = "tests/interop/README.md";
const AZURE: &str = "host/docs/keys-in-azure.md";
const SERVICE: &str = "host/docs/run-as-a-service.md";

/// Every entry matches a command of a document.
pub(crate) const NOT_RUN: &[NotRun] = &[
    anywhere("cargo install --locked --path host/cli", BUILDS),
    of("README.md", "cargo run --release -- demo", "builds in release: the step `demo` does it"),
    anywhere("./tests/run", TESTS),
    anywhere("tests/run", TESTS),
    anywhere("cargo test -p ", TESTS),
    anywhere("TASKSEAL_FULL=1 cargo test -p ", TESTS),
    of("fuzz/README.md", "cargo +nightly fuzz run", "needs a nightly toolchain: the step `fuzz` does it"),
    of("tests/vectors/README.md", "cargo run -p taskseal-vectors", "writes into the source tree"),
    anywhere("sudo apt-get install", TOOLS),
    anywhere("rustup target add", TOOLS),
    of(C, "core/capi/install", CAPI),
    of(C, "export PKG_CONFIG_PATH=", CAPI),
    of(C, "cc core/capi/examples/host.c", CAPI),
    of(C, "./seal-all", CAPI),
    of(C, "core/capi/check", CAPI),
    of(C, "export CARGO_TARGET_THUMBV7EM", CAPI),
    of(C, "cargo build -p taskseal-c", CAPI),
    of(C, "board=", CAPI),
    of(C, "arm-none-eabi-gcc", CAPI),
    of(FIRMWARE, "cd core/firmware", DEVICE),
    of(FIRMWARE, "cargo run --release", DEVICE),
    of(FIRMWARE, "grep -E", DEVICE),
    of(OTHERS, "python3 -m venv", INTEROP),
    of(OTHERS, "cd ", INTEROP),
    of(OTHERS, "/tmp/interop/bin/python", INTEROP),
    of(OTHERS, "npm install", INTEROP),
    of(OTHERS, "node check.mjs", INTEROP),
    of(AZURE, "az keyvault", CLOUD),
    of(SERVICE, "sudo useradd", SYSTEM),
    of(SERVICE, "sudo chown", SYSTEM),
    of(SERVICE, "sudo chmod", SYSTEM),
    of(SERVICE, "sudo install", SYSTEM),
    of(SERVICE, "sudo systemctl", SYSTEM),
    of(SERVICE, "journalctl", "reads the journal of the service"),
];
