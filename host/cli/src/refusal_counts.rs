//! Numbers of tasks by refusal code.

use taskseal_core::Refusal;

use taskseal::small_map::SmallMap;

/// Counts tasks by refusal code.
#[derive(Debug, Default)]
pub(crate) struct RefusalCounts(SmallMap<Refusal, u64>);

impl RefusalCounts {
    /// Counts one more task.
    pub(crate) fn add(&mut self, refusal: Refusal) {
        *self.0.get_or_insert(&refusal, 0) += 1;
    }

    /// Returns the codes with their numbers, in the order of the checks.
    pub(crate) fn counts(&self) -> &[(Refusal, u64)] {
        self.0.entries()
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
