//! The reader of the vectors of signed keysets.

use std::fs;

use taskseal_core::keys::VerifyingKey;
use taskseal_core::keyset::signed::{
    Checkpoint, CurrentKeys, KeysetRefusal, PinnedRoots, UnverifiedKeyset, VerifiedKeyset,
};
use taskseal_core::name::{Audience, Issuer, KeysetName, TaskType};
use taskseal_core::{KeyId, KeyLookup, Kind, TimeWindow};

use crate::example::hex;
use crate::reader::{folder, names};

/// One vector.
#[derive(Clone, Debug)]
pub struct KeysetVector {
    /// The name of its file.
    pub name: String,
    lines: Vec<(String, String)>,
    /// The keyset.
    pub bytes: Vec<u8>,
}

/// The outcome of a keyset: the lines `stored`, `seals`, `decrypts` and `records`, and all lines `recipient`.
pub type Outcome = [String; 5];

/// Every line there is; `root` once or twice, `recipient` any number of times, the others once.
const LINES: [&str; 13] = [
    "expect",
    "note",
    "by",
    "now",
    "name",
    "root",
    "checkpoint",
    "capacity",
    "stored",
    "seals",
    "decrypts",
    "records",
    "recipient",
];

/// Every vector of signed keysets, in the order of their names.
///
/// # Panics
/// If a file cannot be read or has another format.
#[must_use]
pub fn all() -> Vec<KeysetVector> {
    let read = |name: String| {
        let text = fs::read_to_string(folder("keyset").join(format!("{name}.txt"))).expect("a vector");
        KeysetVector::parse(name, &text)
    };
    names("keyset").into_iter().map(read).collect()
}

impl KeysetVector {
    /// Takes the text of a file apart.
    ///
    /// # Panics
    /// If a line has a name that the format does not know: what a reader skips, it does not test.
    #[must_use]
    pub fn parse(name: String, text: &str) -> Self {
        let (lines, keyset) = text.split_once("\n\n").expect("an empty line");
        let lines: Vec<(String, String)> = lines
            .lines()
            .map(|line| line.split_once(':').expect("name: value"))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        for line in &lines {
            let most = match line.0.as_str() {
                "root" => 2,
                "recipient" => usize::MAX,
                _ => 1,
            };
            assert!(LINES.contains(&line.0.as_str()), "{name}: {}", line.0);
            assert!(lines.iter().filter(|other| other.0 == line.0).count() <= most, "{name}: {}", line.0);
        }
        let vector = Self { name, lines, bytes: hex(keyset) };
        assert_eq!(vector.get("by").is_none(), vector.expected() == "accepted", "{}", vector.name);
        vector
    }

    /// The value of a line.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|line| line.0 == name).map(|line| line.1.as_str())
    }

    /// `accepted` or the code of a refusal.
    ///
    /// # Panics
    /// If the vector does not say.
    #[must_use]
    pub fn expected(&self) -> &str {
        self.get("expect").expect("an expectation")
    }

    /// Returns the expected outcome of an accepted keyset.
    ///
    /// # Panics
    /// If the vector does not say.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let [stored, seals, decrypts, records] =
            ["stored", "seals", "decrypts", "records"].map(|name| self.get(name).expect(name).to_owned());
        [stored, seals, decrypts, records, self.recipients().collect::<Vec<_>>().join(", ")]
    }

    /// Parses and verifies the keyset as the vector says.
    ///
    /// # Errors
    /// What one of the steps gives.
    ///
    /// # Panics
    /// If the vector is not well-formed.
    pub fn verify(&self) -> Result<Outcome, KeysetRefusal> {
        match self.get("capacity") {
            None => self.verify_in::<256>(),
            Some("1") => self.verify_in::<1>(),
            Some("2") => self.verify_in::<2>(),
            Some(other) => panic!("{}: capacity {other}", self.name),
        }
    }

    fn verify_in<const N: usize>(&self) -> Result<Outcome, KeysetRefusal> {
        let checkpoint = self.get("checkpoint").map(|stored| {
            let stored = hex(stored).try_into().expect("40 bytes");
            Checkpoint::from_bytes(&stored).expect("a checkpoint")
        });
        let mut now = self.now();
        let unverified = UnverifiedKeyset::parse(&self.bytes)?;
        let keyset: VerifiedKeyset<'_, N> =
            unverified.verify(&self.roots(), checkpoint.as_ref(), &mut now)?;
        let keys = keyset.at(now)?;
        let kids = |holds: &dyn Fn(&CurrentKeys<'_, '_>, KeyId) -> bool| {
            let kids = keyset.entries().iter().map(|entry| entry.kid()).filter(|kid| holds(&keys, *kid));
            kids.map(|kid| kid.to_string()).collect::<Vec<_>>().join(" ")
        };
        let stored = keyset.checkpoint().to_bytes();
        Ok([
            stored.iter().map(|byte| format!("{byte:02x}")).collect(),
            kids(&|keys, kid| keys.sealing_allowed(kid)),
            kids(&|keys, kid| keys.decryption_allowed(kid)),
            kids(&|keys, kid| keys.find(kid).is_some()),
            self.recipients().map(|line| choice(&keys, line)).collect::<Vec<_>>().join(", "),
        ])
    }

    fn recipients(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| line.0 == "recipient").map(|line| line.1.as_str())
    }

    fn roots(&self) -> PinnedRoots<'_> {
        let name = KeysetName::new(self.get("name").expect("a name")).expect("a name");
        let roots = self.lines.iter().filter(|line| line.0 == "root").map(|line| {
            let point = hex(&line.1).try_into().expect("65 bytes");
            VerifyingKey::from_point(&point).expect("a point on the curve")
        });
        let mut roots = roots.collect::<Vec<_>>().into_iter();
        let first = PinnedRoots::new(name, roots.next().expect("a root"));
        roots.next().map_or(first, |second| first.or(second).expect("another root"))
    }

    fn now(&self) -> TimeWindow {
        let now = self.get("now").expect("a time");
        let (earliest, latest) = now.split_once(' ').unwrap_or((now, now));
        let number = |text: &str| text.parse().expect("a time");
        TimeWindow { earliest: number(earliest), latest: number(latest) }
    }
}

/// Returns a line `recipient` with the kid that the keyset chooses for the body that it describes.
fn choice(keys: &CurrentKeys<'_, '_>, line: &str) -> String {
    let (body, _) = line.rsplit_once(' ').expect("a kid or `none`");
    let mut words = body.split(' ');
    let mut word = || words.next().expect("kind, issuer, type and audience");
    let kind = match word() {
        "task" => Kind::Task,
        "result" => Kind::Result,
        other => panic!("{other}: a kind"),
    };
    let issuer = Issuer::new(word()).expect("an issuer");
    let task_type = TaskType::new(word()).expect("a type");
    let audience = Audience::new(word()).expect("an audience");
    let chosen = keys.recipient_for(kind, issuer, task_type, audience);
    format!("{body} {}", chosen.map_or_else(|| "none".to_owned(), |key| key.kid().to_string()))
}
