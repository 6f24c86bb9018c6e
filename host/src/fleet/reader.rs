//! Opens many statuses, each of them once a minute, and lists one for each process.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use super::seal::{Member, Unproven, open_until};
use crate::keys::Keyring;

/// Time after which a status is verified again, in seconds: the rights of its key may have ended.
const VERIFY_AGAIN: u64 = 60;

/// Opens the statuses of a broker, which can contain each of them many times.
///
/// # Security
/// A user with write access to the broker decides what is opened. A copy costs one hash, and no verification of a signature.
#[derive(Debug, Default)]
pub struct StatusReader {
    /// What the keys were with which the statuses were opened.
    keyset: String,
    opened: HashMap<[u8; 32], Opened>,
}

/// What a status is, and when it was found out, in seconds of Unix time.
#[derive(Clone, Debug)]
struct Opened {
    at: u64,
    result: Result<Proven, Unproven>,
}

#[derive(Clone, Debug)]
struct Proven {
    member: Member,
    /// Time from which it proves nothing, in seconds of Unix time.
    expires_at: u64,
}

impl StatusReader {
    /// Returns the newest status of each process, in the order of roles and names, then what proves nothing.
    pub fn read(
        &mut self,
        statuses: &[Vec<u8>],
        keyring: &Keyring,
        deployment: &str,
        now: u64,
    ) -> Vec<Result<Member, Unproven>> {
        let keyset = format!("{:?} {}", keyring.head().map(|head| head.sequence), keyring.fingerprint());
        if self.keyset != keyset {
            (self.keyset, self.opened) = (keyset, HashMap::new());
        }
        let mut known = std::mem::take(&mut self.opened);
        for status in statuses {
            let digest = Sha256::digest(status).into();
            if self.opened.contains_key(&digest) {
                continue;
            }
            let is_recent =
                |opened: &Opened| now.checked_sub(opened.at).is_some_and(|age| age < VERIFY_AGAIN);
            let opened = known.remove(&digest).filter(is_recent).unwrap_or_else(|| {
                let result = open_until(status, keyring, deployment);
                let result = result.map(|(member, expires_at)| Proven { member, expires_at });
                Opened { at: now, result }
            });
            self.opened.insert(digest, opened);
        }
        self.list(now)
    }

    /// Returns how many statuses were verified at `now` or later.
    #[cfg(test)]
    pub(super) fn verified_since(&self, now: u64) -> usize {
        self.opened.values().filter(|opened| opened.at >= now).count()
    }

    fn list(&self, now: u64) -> Vec<Result<Member, Unproven>> {
        let mut members: BTreeMap<_, &Member> = BTreeMap::new();
        let mut unproven = Vec::new();
        for Opened { result, .. } in self.opened.values() {
            match result {
                Err(reason) => unproven.push(reason.clone()),
                Ok(Proven { member, expires_at }) if *expires_at <= now => {
                    unproven.push(Unproven::expired(member));
                }
                Ok(Proven { member, .. }) => {
                    let status = &member.status;
                    let process = (status.role.as_str(), &status.id, &status.host, status.pid);
                    let newest = members.entry(process).or_insert(member);
                    // An older status of the same process can be repeated until it expires.
                    if (newest.status.at, newest.status.started_at) < (status.at, status.started_at) {
                        *newest = member;
                    }
                }
            }
        }
        unproven.sort_by(|one, other| one.reason.cmp(&other.reason));
        members.into_values().cloned().map(Ok).chain(unproven.into_iter().map(Err)).collect()
    }
}
