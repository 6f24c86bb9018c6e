//! Comparison of what processes run with.

use std::collections::BTreeSet;
use std::fmt;

use super::{Member, ProcessStatus, Role};

/// A subject on which two processes differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The other has a later keyset: this process lags behind.
    NewerKeyset {
        /// Sequence number of the keyset of this process.
        own: u64,
        /// That of the other.
        other: u64,
    },
    /// The other has an earlier keyset: it lags behind.
    OlderKeyset {
        /// Sequence number of the keyset of this process.
        own: u64,
        /// That of the other.
        other: u64,
    },
    /// Their keysets differ and have no order.
    Keyset,
    /// Their policies differ.
    Policy,
    /// Their modes of task types differ.
    Modes,
}

impl Subject {
    /// Returns the stable name, for logs and tools.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NewerKeyset { .. } => "newer-keyset",
            Self::OlderKeyset { .. } => "older-keyset",
            Self::Keyset => "keyset",
            Self::Policy => "policy",
            Self::Modes => "modes",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewerKeyset { own, other } => write!(f, "it has keyset {other}, this process {own}"),
            Self::OlderKeyset { own, other } => write!(f, "it still has keyset {other}, this process {own}"),
            Self::Keyset => f.write_str("its keyset is another one"),
            Self::Policy => f.write_str("its policy is another one"),
            Self::Modes => f.write_str("its modes of task types are others"),
        }
    }
}

/// A difference between this process and another one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the program reads every field")]
pub struct Difference {
    /// The other process: role, name, host and number.
    pub process: String,
    /// What differs.
    pub subject: Subject,
}

/// Returns how `own` differs from other processes, first from those of the same role. Policies and modes are compared between workers only: producers have none.
pub fn differences<'m>(
    own: &ProcessStatus,
    members: impl IntoIterator<Item = &'m Member>,
) -> Vec<Difference> {
    let others = members.into_iter().filter(|member| member.status.process() != own.process());
    let (peers, others): (Vec<_>, Vec<_>) = others.partition(|member| member.status.role == own.role);
    peers
        .into_iter()
        .chain(others)
        .flat_map(|member| {
            let process = member.status.process();
            subjects(own, &member.status).map(move |subject| Difference { process: process.clone(), subject })
        })
        .collect()
}

/// Returns the subjects on which the processes do not agree: `keyset` of all, `policy` and `modes` of the workers.
#[must_use]
pub fn disagreements(members: &[&Member]) -> Vec<&'static str> {
    let all = || members.iter().map(|member| &member.status);
    let workers = || all().filter(|status| status.role == Role::Worker);
    let subjects = [
        ("keyset", count(all().map(|status| (status.sequence, &status.keyset)))),
        ("policy", count(workers().map(|status| &status.policy))),
        ("modes", count(workers().map(|status| &status.modes))),
    ];
    subjects.into_iter().filter(|(_, values)| *values > 1).map(|(subject, _)| subject).collect()
}

/// Returns the number of different values.
fn count<T: Ord>(values: impl Iterator<Item = T>) -> usize {
    values.collect::<BTreeSet<_>>().len()
}

fn subjects(own: &ProcessStatus, other: &ProcessStatus) -> impl Iterator<Item = Subject> {
    let same_role = own.role == other.role;
    let policy = same_role && own.policy != other.policy;
    let modes = same_role && own.modes != other.modes;
    keyset(own, other)
        .into_iter()
        .chain(policy.then_some(Subject::Policy))
        .chain(modes.then_some(Subject::Modes))
}

fn keyset(own: &ProcessStatus, other: &ProcessStatus) -> Option<Subject> {
    match (own.sequence, other.sequence) {
        (Some(own), Some(other)) if own < other => Some(Subject::NewerKeyset { own, other }),
        (Some(own), Some(other)) if own > other => Some(Subject::OlderKeyset { own, other }),
        _ => (own.keyset != other.keyset).then_some(Subject::Keyset),
    }
}
