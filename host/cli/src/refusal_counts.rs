//! Numbers of tasks by refusal code.

use taskseal_core::Refusal;

/// Counts tasks by refusal code.
#[derive(Debug, Default)]
pub(crate) struct RefusalCounts {
    /// In the order of the checks. There are few codes.
    counts: Vec<(Refusal, u64)>,
}

impl RefusalCounts {
    /// Counts one more task.
    pub(crate) fn add(&mut self, refusal: Refusal) {
        let found = self.counts.binary_search_by_key(&refusal, |(known, _)| *known);
        let at = found.unwrap_or_else(|at| {
            self.counts.insert(at, (refusal, 0));
            at
        });
        if let Some((_, count)) = self.counts.get_mut(at) {
            *count += 1;
        }
    }

    /// Returns the codes with their numbers, in the order of the checks.
    pub(crate) fn counts(&self) -> &[(Refusal, u64)] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_in_the_order_of_the_checks() {
        let mut counts = RefusalCounts::default();
        [Refusal::Expired, Refusal::Unsealed, Refusal::Expired]
            .into_iter()
            .for_each(|refusal| counts.add(refusal));
        assert_eq!(counts.counts(), [(Refusal::Unsealed, 1), (Refusal::Expired, 2)]);
    }
}
