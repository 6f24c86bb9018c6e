//! Each source of keys is lost and comes back while the workers run.

use taskseal_tests::vault::VaultOutage;

use super::Drill;

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
            |plant| plant.vault.fail(std::iter::repeat_n(VaultOutage::Sealed, 1000)),
            |plant| plant.vault.recover(),
        );
        assert_eq!(self.plant.vault.violations(), Vec::<String>::new());
        let report =
            "file, cred, exec (fails, hangs), vault; env cannot be lost: a process keeps its environment";
        self.tell("lose every source", report.to_owned());
    }

    /// Loses a source, has tasks run meanwhile, and regains it.
    fn lose(&self, what: &str, lose: impl Fn(&crate::plant::Plant), regain: impl Fn(&crate::plant::Plant)) {
        let from = self.lines();
        lose(&self.plant);
        self.reload();
        self.until_logged(&from, "keys-reload-failed", |_| true);
        self.progress(2);
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
