//! A producer's key was stolen: its tasks are refused by every worker soon after the keyset is published.

use std::sync::Arc;

use taskseal::Task;
use taskseal::time::UnixMillis;

use super::Drill;
use crate::load::{OUTSTANDING, TYPE};
use crate::plant::REFRESH;
use crate::waiting::until;

impl Drill {
    pub(crate) fn revoke_a_stolen_key(&mut self) {
        let kid = self.keys["kiosk"].kid.clone();
        let entries = ["kiosk", "kiosk recipient"].map(|name| self.keys[name].entry.as_str());
        self.plant.configure_stranger("kiosk", "kiosk", &entries);
        let (client, accounts) = (self.load.open(&self.plant.path("kiosk")), Arc::clone(&self.load.accounts));
        let client = Arc::new(client);
        let thief = self.load.produce("kiosk", OUTSTANDING, move |number| {
            let (client, accounts) = (Arc::clone(&client), Arc::clone(&accounts));
            async move {
                let sealed = client.seal(Task::new(TYPE, &number).unwrap()).await.unwrap();
                accounts.entries().stolen.insert(sealed.receipt.id.to_string());
                client.enqueue_sealed(&sealed.receipt.queue, sealed.envelope).await.unwrap();
                true
            }
        });
        let accepted = || self.ran().iter().filter(|ran| ran.issuer == "kiosk").count();
        until("tasks of the stolen key to run", || (accepted() >= 10).then_some(()));

        let from = self.lines();
        self.plant.office(&format!("keyset revoke {kid}")).ok();
        let sequence = self.plant.publish();
        let published = UnixMillis::now().0;
        self.until_logged(&from, "refused", |line| {
            line["code"] == "key-not-valid" && line["detail"].to_string().contains(&kid)
        });
        self.until_fetched(sequence);
        self.load.progress(&[&thief], 10);
        let sealed = self.load.stop(thief);
        self.progress(5);

        let last = self.ran().iter().filter(|ran| ran.issuer == "kiosk").map(|ran| ran.at).max().unwrap();
        let delay = last - published;
        assert!(
            delay < 20_000,
            "the last task of the stolen key ran {delay} ms after the keyset was published"
        );
        let refused = sealed - accepted() as u64;
        self.tell(
            "revoke a stolen key",
            format!(
                "{sealed} tasks of the key, {refused} refused, by both workers; the last one ran {} ms after the keyset was \
                 published, hosts fetch it every {REFRESH}",
                delay.max(0)
            ),
        );
    }
}
