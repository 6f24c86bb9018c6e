//! Reports of what ends soon: the key that seals, and the signed keyset.

use std::time::{Duration, Instant};

use taskseal_core::KeyId;

use crate::keys::signed_keyset::KeysetHead;
use crate::time::UnixMillis;
use crate::worker::event::Event;

/// A key that ends within this time is reported, in seconds.
const ENDS_SOON: u64 = 7 * 24 * 3600;
/// Delay between two reports of the same end.
const REMINDER: Duration = Duration::from_secs(24 * 3600);

/// What was reported, and when.
#[derive(Debug, Default)]
pub(super) struct EndReports {
    key: Option<(KeyId, Instant)>,
    keyset: Option<(u64, Instant)>,
}

impl EndReports {
    /// Reports once a day that the key that seals, which ends at `end`, or the keyset ends soon after `now`. Times are in seconds
    /// of Unix time. A key that has ended, such as one that was replaced, seals nothing: an attempt to seal reports it.
    pub(super) fn check(
        &mut self,
        sealing_end: Option<(KeyId, u64)>,
        keyset: Option<&KeysetHead>,
        now: u64,
        observe: &dyn Fn(&Event),
    ) {
        let ends_soon = |(_, end): &(KeyId, u64)| now < *end && *end <= now.saturating_add(ENDS_SOON);
        if let Some((kid, end)) = sealing_end.filter(ends_soon)
            && is_news(&mut self.key, kid)
        {
            observe(&Event::KeyEndsSoon { kid, ends_at: millis(end) });
        }
        if let Some(head) = keyset.filter(|head| head.must_be_replaced(now))
            && is_news(&mut self.keyset, head.sequence)
        {
            let ends_at = millis(head.not_after);
            observe(&Event::KeysetEndsSoon { sequence: head.sequence, ends_at });
        }
    }
}

/// Returns whether a report is not a repetition, and records it.
fn is_news<T: Copy + PartialEq>(reported: &mut Option<(T, Instant)>, value: T) -> bool {
    if reported.is_some_and(|(known, at)| known == value && at.elapsed() < REMINDER) {
        return false;
    }
    *reported = Some((value, Instant::now()));
    true
}

fn millis(seconds: u64) -> UnixMillis {
    UnixMillis::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn head(sequence: u64, not_after: u64) -> KeysetHead {
        KeysetHead {
            name: "prod".to_owned(),
            sequence,
            digest: [0; 32],
            issued_at: 1000,
            not_after,
            root: KeyId::from_bytes([1; 8]),
            last_sequence: None,
            refused: Vec::new(),
            source_fault: None,
        }
    }

    #[test]
    fn key_that_has_ended_is_not_reported_as_one_that_ends_soon() {
        let (now, kid) = (1000, KeyId::from_bytes([2; 8]));
        let is_reported = |end: u64| {
            let seen = RefCell::new(0);
            EndReports::default().check(Some((kid, end)), None, now, &|_| *seen.borrow_mut() += 1);
            seen.into_inner() == 1
        };
        assert_eq!([999, 1000, 1000 + ENDS_SOON + 1].map(is_reported), [false; 3]);
        assert_eq!([1001, 1000 + ENDS_SOON].map(is_reported), [true; 2]);
    }

    #[test]
    fn keyset_that_must_be_replaced_is_reported_once_and_the_next_one_again() {
        let (mut reports, seen) = (EndReports::default(), RefCell::new(Vec::new()));
        let mut check = |head: &KeysetHead, now| {
            reports.check(None, Some(head), now, &|event| {
                let Event::KeysetEndsSoon { sequence, .. } = event else { panic!("{event}") };
                seen.borrow_mut().push(*sequence);
            });
        };
        for now in [1000, 1599] {
            check(&head(7, 1900), now);
        }
        assert_eq!(*seen.borrow(), [0; 0]);
        for now in [1601, 1700, 2000] {
            check(&head(7, 1900), now);
        }
        assert_eq!(*seen.borrow(), [7]);
        check(&head(8, 2900), 1700);
        check(&head(8, 2900), 2800);
        assert_eq!(*seen.borrow(), [7, 8]);
    }
}
