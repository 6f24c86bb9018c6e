//! The keys of a new project: one for each operation, so that no secret is shared.

use std::path::Path;

use taskseal::keys::Algorithm;
use taskseal_core::Kind;
use taskseal_core::keyset::signed::KeyState;
use taskseal_hsm::{KeyKind, TokenUri, Usage};

use crate::failure::Failure;
use crate::key_summary::{KeySummary, open_token, token_failure};
use crate::keyset_entry::{Entry, KeyTimes};

/// The keys of a project.
pub(super) struct Keys {
    pub(super) producer: KeySummary,
    pub(super) worker: KeySummary,
    pub(super) worker_sign: KeySummary,
    pub(super) reader: KeySummary,
}

/// Names of the keys in a token and their usage.
const TOKEN_KEYS: [(&str, Usage); 4] = [
    ("producer", Usage::Sign),
    ("worker", Usage::Agree),
    ("worker-sign", Usage::Sign),
    ("reader", Usage::Agree),
];

/// Returns the label of a key in a token, which may serve several projects.
fn label(deployment: &str, name: &str) -> String {
    format!("{deployment}/{name}")
}

/// Logs in and checks that the labels are unused, before anything is created.
pub(super) fn check_labels(token: &TokenUri, deployment: &str) -> Result<(), Failure> {
    let (opened, _) = open_token(token)?;
    let name = token.name();
    let keys = opened.keys().map_err(|error| token_failure(&error, &name.to_string()))?;
    // Labels are unique within a class of keys; shared keys are of another class.
    let pairs = keys.iter().filter(|key| !matches!(key.kind, KeyKind::Mac | KeyKind::Wrapping));
    let used: Vec<_> = pairs.map(|key| key.label.as_str()).collect();
    let mut labels = TOKEN_KEYS.iter().map(|(name, _)| label(deployment, name));
    labels.find(|label| used.contains(&label.as_str())).map_or(Ok(()), |label| {
        Err(Failure::unavailable(format!("{name}: a key with the label `{label}` exists; nothing was created"))
            .hint("labels start with the deployment: choose another one with `--deployment NAME`, or use another token"))
    })
}

impl Keys {
    /// Generates the keys in files of the folder `keys`.
    pub(super) fn in_files(dir: &Path) -> Result<Self, Failure> {
        let create = |name: &str, algorithm, purpose: &str| {
            // The configuration names the files relative to its own folder.
            let location = format!("keys/{name}");
            let key = KeySummary::in_file(&dir.join(&location), algorithm, purpose)?;
            Ok(KeySummary { location, ..key })
        };
        Ok(Self {
            producer: create("producer.key", Algorithm::Es256, "tasks, held by the producer")?,
            worker: create("worker.key", Algorithm::EcdhEs, "tasks, held by the worker")?,
            worker_sign: create("worker-sign.key", Algorithm::Es256, "results, held by the worker")?,
            reader: create("reader.key", Algorithm::EcdhEs, "results, held by their readers")?,
        })
    }

    /// Generates the keys in a token. `names` receives every generated key, and the one whose generation failed.
    pub(super) fn in_token(
        token: &TokenUri,
        deployment: &str,
        names: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        let mut create = |(name, usage): (&str, Usage)| {
            let label = label(deployment, name);
            recorded(names, &label, || KeySummary::in_token(token, usage, &label))
        };
        let [producer, worker, worker_sign, reader] = TOKEN_KEYS;
        Ok(Self {
            producer: create(producer)?,
            worker: create(worker)?,
            worker_sign: create(worker_sign)?,
            reader: create(reader)?,
        })
    }

    /// Returns the content of the keyset file.
    pub(super) fn keyset(&self, deployment: &str) -> String {
        let entry = |key, kind, label, issuer: &str| {
            let rights = [issuer.to_owned(), "*".to_owned(), format!("{deployment}/*")];
            Entry {
                key,
                kind,
                label: Some(label),
                rights: Some(rights.map(|pattern| vec![pattern])),
                state: KeyState::Primary,
                times: KeyTimes::default(),
            }
            .to_toml()
        };
        [
            "# What each key may seal, and what is encrypted to it. The file contains no secret, but write access to it decides which\n\
             # tasks run.\n\n"
                .to_owned(),
            entry(&self.producer, Kind::Task, "signs tasks", "producer"),
            entry(&self.worker, Kind::Task, "decrypts tasks", "*"),
            entry(&self.worker_sign, Kind::Result, "signs results", "worker"),
            entry(&self.reader, Kind::Result, "decrypts results", "producer"),
        ]
        .concat()
    }
}

/// Generates a key and records its label and kid. A token that reports a failure may hold the key nonetheless, and its
/// label would then stop the next attempt.
fn recorded(
    names: &mut Vec<String>,
    label: &str,
    generate: impl FnOnce() -> Result<KeySummary, Failure>,
) -> Result<KeySummary, Failure> {
    let key = generate().inspect_err(|_| names.push(format!("{label} (perhaps)")))?;
    names.push(format!("{label} ({})", key.kid));
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_whose_generation_failed_is_recorded_because_it_may_exist() {
        let mut names = Vec::new();
        let failure = || Err(Failure::unavailable("the token is unavailable"));
        assert!(recorded(&mut names, "local/worker", failure).is_err());
        assert_eq!(names, ["local/worker (perhaps)"]);
    }
}
