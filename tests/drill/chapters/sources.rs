//! Each source of keys is lost and comes back while the workers run.

use taskseal_tests::vault::VaultOutage;

use super::Drill;
use super::services::SERVICE;
use crate::waiting::until;

/// Requests for a signature of the producer whose key is in Vault.
const SIGN: &str = "POST transit/sign/notary";

/// A program that fetches a key, whose behaviour is in the file `mode`.
fn fetch(folder: &str) -> String {
    format!(
        "#!/bin/sh\nread -r mode < {folder}/mode\ncase $mode in\nfails) echo 'no route' >&2; exit 1 ;;\n\
         hangs) exec sleep 600 ;;\nesac\ncat {folder}/answer\n"
    )
}

impl Drill {
    /// Puts the keys that decrypt into their sources.
    pub(super) fn store_sources(&self) {
        let plant = &self.plant;
        let key = |name: &str| plant.read(&format!("office/keys/{name}.key"));
        plant.write_private("host/credentials/recipient", &key("cred"), 0o400);
        let answer = serde_json::json!({ "v": 1, "secret": key("exec") }).to_string();
        plant.write_private("host/answer", &answer, 0o600);
        plant.write("host/mode", "works\n");
        plant.write_private("host/fetch", &fetch(plant.path("host").to_str().unwrap()), 0o700);
        plant.vault.put("recipient", serde_json::json!({ "key": key("vault") }));
    }

    pub(crate) fn lose_every_source(&mut self) {
        self.lose(
            "file: a key file",
            |plant| plant.rename("host/keys/agreement", "host/keys/lost"),
            |plant| {
                plant.rename("host/keys/lost", "host/keys/agreement");
            },
        );
        self.lose(
            "cred: the credential",
            |plant| plant.rename("host/credentials/recipient", "host/lost"),
            |plant| plant.rename("host/lost", "host/credentials/recipient"),
        );
        for mode in ["fails", "hangs"] {
            self.lose(
                &format!("exec: the program {mode}"),
                |plant| plant.write("host/mode", &format!("{mode}\n")),
                |plant| plant.write("host/mode", "works\n"),
            );
        }
        self.lose(
            "vault: the server is sealed",
            |plant| plant.vault.fail(std::iter::repeat_n(VaultOutage::Sealed, 10_000)),
            |plant| plant.vault.recover(),
        );
        // A variable cannot be lost while a process runs. One that starts without it does not run.
        let credentials = self.plant.path("host/credentials");
        let run = self.plant.host_with(&[("CREDENTIALS_DIRECTORY", &credentials)], "worker --once");
        assert!(run.failed(4).hinted().err.contains("env:RECIPIENT"), "{run:?}");
        assert_eq!(self.plant.vault.violations(), Vec::<String>::new());
        let report = "file, cred, exec (fails, hangs), vault (a secret, and the key of a producer); a worker does not start without its variable (env)";
        self.tell("lose every source", report.to_owned());
    }

    /// Loses a source, has tasks run meanwhile, and regains it.
    fn lose(&self, what: &str, lose: impl Fn(&crate::plant::Plant), regain: impl Fn(&crate::plant::Plant)) {
        let from = self.lines();
        lose(&self.plant);
        let signed = self.plant.vault.count(SIGN);
        self.reload();
        self.until_logged(&from, "keys-reload-failed", |_| true);
        // A key that stays in a service does not seal without it.
        let others = self.producers.iter().filter(|producer| producer.name != SERVICE);
        self.load.progress(&others.collect::<Vec<_>>(), 2);
        if what.starts_with("vault") {
            // The producer gets no signature; its task waits.
            until("a refused signature", || (self.plant.vault.count(SIGN) > signed + 1).then_some(()));
        }
        let from = self.lines();
        regain(&self.plant);
        self.reload();
        self.until_logged(&from, "keys-reloaded", |_| true);
        self.progress(1);
        self.load.accounts.check();
        println!("drill         {what}: alarm, tasks run, back");
    }

    fn reload(&self) {
        self.workers.iter().for_each(crate::worker::WorkerProcess::reload);
    }
}
