//! Every kind of key is replaced while all producers seal, and a forger forges.

use std::thread;

use taskseal::time::{UnixMillis, rfc3339};

use super::Drill;
use super::services::TOKEN_KEY;
use crate::waiting::{PAUSE, until};

/// A rotation: purpose, key, and where the next key is generated.
struct Rotation {
    purpose: &'static str,
    key: String,
    place: String,
    steps: Vec<String>,
}

impl Rotation {
    fn is_done(&self) -> bool {
        self.steps.iter().any(|step| step == "destroyed")
    }
}

impl Drill {
    pub(crate) fn rotate_every_kind_of_key(&mut self) {
        let (before, verified) = (self.ran().len(), self.verified());
        let mut rotations = self.rotations();
        until("all rotations to end", || {
            let mut is_changed = false;
            for rotation in rotations.iter_mut().filter(|rotation| !rotation.is_done()) {
                is_changed |= self.take_steps(rotation);
            }
            if is_changed {
                let _ = self.plant.publish();
            } else {
                thread::sleep(PAUSE * 10);
            }
            rotations.iter().all(Rotation::is_done).then_some(())
        });
        for rotation in &rotations {
            assert_eq!(
                rotation.steps,
                ["staged", "primary", "retiring", "disabled", "destroyed"],
                "{}",
                rotation.purpose
            );
        }
        until("all processes to have the same keyset and policy", || {
            (self.plant.office("fleet ls --check").code == Some(0)).then_some(())
        });
        self.progress(5);
        let (ran, verified) = (self.ran().len() - before, self.verified() - verified);
        let forged = self.forger.as_ref().unwrap().ended();
        assert!(forged > 10, "{forged} tasks were forged");
        let kinds: Vec<_> = rotations.iter().map(|rotation| rotation.purpose).collect();
        let kinds = format!("{} ({} in a token)", kinds.join(", "), rotations.len() - 4);
        self.tell(
            "rotate every kind of key",
            format!(
                "{kinds}; {ran} tasks ran, {verified} results verified, 0 refused; \
                 {forged} forged or replayed, 0 ran"
            ),
        );
    }

    fn rotations(&self) -> Vec<Rotation> {
        let places = [
            ("signing", "signing", "--out ../shop/keys/sign/2.key".to_owned()),
            ("agreement", "agreement", "--out ../host/keys/agreement/2.key".to_owned()),
            ("result", "result", "--out ../host/keys/result/2.key".to_owned()),
            ("shared", "shared", "--out ../mill/keys/shared/2.key".to_owned()),
        ];
        let in_token = self.token_uri(2).map(|uri| ("signing", TOKEN_KEY, format!("--pkcs11 {uri}")));
        let rotation = |(purpose, key, place)| {
            let key: &str = key;
            Rotation { purpose, key: self.keys[key].kid.clone(), place, steps: Vec::new() }
        };
        places.into_iter().chain(in_token).map(rotation).collect()
    }

    /// Takes the steps of a rotation that are due. Returns whether one was.
    fn take_steps(&self, rotation: &mut Rotation) -> bool {
        let Rotation { purpose, key, place, .. } = rotation;
        let run = self.plant.office(&format!("rotate {purpose} --key {key} {place} --json"));
        let steps = run.ok().json()["steps"].as_array().unwrap().clone();
        let taken: Vec<_> = steps.iter().filter_map(|step| step["to"].as_str()).map(str::to_owned).collect();
        if *purpose == "shared" && taken.iter().any(|to| to == "staged") {
            self.carry_shared_key("2.key");
        }
        if place.starts_with("--pkcs11") && taken.iter().any(|to| to == "primary") {
            self.use_next_token_key();
        }
        if taken.iter().any(|to| to == "retiring") {
            self.shorten_acceptance(key);
        }
        rotation.steps.extend(taken.iter().cloned());
        !taken.is_empty()
    }

    /// Has a retired key end soon. `rotate` allows 300 seconds for clocks that differ; here is one clock.
    fn shorten_acceptance(&self, kid: &str) {
        let until = UnixMillis((UnixMillis::now().as_secs() + 8) * 1000);
        let draft = self.plant.read("office/keyset.toml");
        let (before, entry) = draft.split_once(&format!("kid = \"{kid}\"")).unwrap();
        let line = entry.lines().find(|line| line.starts_with("accept_until = ")).unwrap();
        let new = format!("accept_until = \"{}\"", rfc3339::format(until).unwrap());
        let entry = entry.replacen(line, &new, 1);
        self.plant.write("office/keyset.toml", &format!("{before}kid = \"{kid}\"{entry}"));
    }

    fn verified(&self) -> usize {
        self.load.accounts.entries().verified.len()
    }
}
