//! Redis, which carries the keyset, offers keysets that must not be used: the good one stays.

use taskseal::keys::SecretKey;
use taskseal::time::UnixMillis;
use taskseal_core::keyset::signed::{MAX_ENTRIES, PinnedRoots, UnverifiedKeyset};
use taskseal_core::name::KeysetName;

use super::Drill;

impl Drill {
    pub(crate) fn offer_bad_keysets(&mut self) {
        let good = self.plant.carried();
        let bad = self.bad_keysets(&good);
        let number = bad.len();
        for (what, keyset) in bad {
            let from = self.lines();
            self.plant.carry(&keyset);
            self.until_logged(&from, "keys-reload-failed", |_| true);
            self.progress(2);
            if what == "older" {
                // The checkpoint and the copy of the good keyset are on the disk.
                self.restart_workers();
                self.until_logged(&[0, 0], "keys-reload-failed", |_| true);
                self.progress(2);
            }
            let from = self.lines();
            self.plant.carry(&good);
            self.until_logged(&from, "keys-reloaded", |_| true);
        }
        self.tell("offer bad keysets", format!("{number} refused with an alarm, one also after a restart"));
    }

    fn bad_keysets(&self, good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let older = std::fs::read(self.plant.path("office/first.cose")).unwrap();
        let mut altered = good.to_vec();
        *altered.last_mut().unwrap() ^= 1;
        vec![
            ("older", older),
            ("half-written", good[..good.len() / 2].to_vec()),
            ("unreadable", b"<html>503</html>".to_vec()),
            ("expired", self.expired(good)),
            ("signed by an unknown root", self.of_another_root()),
            ("with an altered signature", altered),
        ]
    }

    /// Returns the next keyset with an end that has passed. The root signs it, as a backup of the office would be.
    fn expired(&self, good: &[u8]) -> Vec<u8> {
        let SecretKey::Sign(mut root) = SecretKey::read(&self.plant.path("office/root.key")).unwrap() else {
            panic!("a root signs")
        };
        let roots = PinnedRoots::new(KeysetName::new("plant").unwrap(), root.verifying_key());
        let keyset = UnverifiedKeyset::parse(good).unwrap();
        let keyset = keyset.danger_verify_without_clock::<MAX_ENTRIES>(&roots, None).unwrap();
        let now = UnixMillis::now().as_secs().unsigned_abs();
        let draft = keyset.draft(now - 7200, now - 3600).unwrap();
        let mut bytes = vec![0; draft.signed_len()];
        draft.sign(&mut *root, &mut bytes).unwrap();
        bytes
    }

    /// Returns a keyset of the same name whose root no host has pinned.
    fn of_another_root(&self) -> Vec<u8> {
        self.plant.create_folder("office/other");
        self.plant.office("keyset init other --name plant --root other/root.key").ok();
        let entry = &self.keys["kiosk"].entry;
        self.plant.write("office/other/entry", entry);
        self.plant.office("keyset add other/entry --keyset other/keyset.toml --state primary").ok();
        self.plant.office("keyset sign --keyset other/keyset.toml --root other/root.key").ok();
        std::fs::read(self.plant.path("office/other/keyset.cose")).unwrap()
    }
}
