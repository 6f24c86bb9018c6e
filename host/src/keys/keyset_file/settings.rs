//! The table `[keyset]` of a keyset file: what those who change and sign the keyset need to know of the deployment.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use taskseal_core::keys::VerifyingKey;
use taskseal_core::keyset::signed::PinnedRoots;
use taskseal_core::name::KeysetName;

use super::fields::Point;
use crate::config::value::{self, DAY, WEEK, YEAR};
use crate::toml_file::invalid;

/// What those who change and sign a keyset need to know of the deployment. Hosts that read the file ignore it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KeysetSettings {
    /// Name of the keyset, which verifiers pin.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// One or two public keys that may sign it.
    #[serde(deserialize_with = "roots")]
    pub roots: Vec<VerifyingKey>,
    /// Sequence number of the last signed keyset. `None` before the first.
    #[serde(default)]
    pub sequence: Option<u64>,
    /// Time for which a signed keyset is in force.
    #[serde(default = "default_lifetime", deserialize_with = "value::seconds::<_, 60, { 10 * YEAR }>")]
    pub lifetime: Duration,
    /// Time in which every running verifier has fetched a new keyset.
    #[serde(default = "default_distribution", deserialize_with = "value::seconds::<_, 0, YEAR>")]
    pub distribution: Duration,
    /// Longest time from the sealing of a task to its run.
    #[serde(default = "default_longest_task", deserialize_with = "value::seconds::<_, 0, { 10 * YEAR }>")]
    pub longest_task: Duration,
}

impl KeysetSettings {
    /// Returns the pinned roots of the verifiers.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the values were checked when they were read")]
    pub fn pinned(&self) -> PinnedRoots<'_> {
        let name = KeysetName::new(&self.name).expect("the name was checked when it was read");
        let (first, others) = self.roots.split_first().expect("at least one root was read");
        let pinned = PinnedRoots::new(name, *first);
        others.first().map_or(pinned, |second| pinned.or(*second).expect("the two roots differ"))
    }
}

/// Default of [`KeysetSettings::lifetime`].
const fn default_lifetime() -> Duration {
    Duration::from_secs(30 * DAY)
}

/// Default of [`KeysetSettings::distribution`].
#[must_use]
pub const fn default_distribution() -> Duration {
    Duration::from_secs(600)
}

/// Default of [`KeysetSettings::longest_task`].
#[must_use]
pub const fn default_longest_task() -> Duration {
    Duration::from_secs(WEEK)
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if KeysetName::new(&text).is_err() {
        return Err(invalid("not a name", "write 1 to 64 printable ASCII characters without spaces"));
    }
    Ok(text)
}

fn roots<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<VerifyingKey>, D::Error> {
    let mut roots: Vec<VerifyingKey> = Vec::new();
    for Point(point) in Vec::<Point>::deserialize(deserializer)? {
        let root = VerifyingKey::from_point(&point)
            .map_err(|_| invalid("not a point on P-256", "copy what `taskseal keyset init` printed"))?;
        if roots.iter().any(|other| other.kid() == root.kid()) {
            return Err(invalid("duplicate root", "remove one of the two"));
        }
        roots.push(root);
    }
    if !(1..=2).contains(&roots.len()) {
        return Err(invalid("expected one or two roots", "list the public keys of the roots"));
    }
    Ok(roots)
}
