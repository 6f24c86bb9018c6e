//! Project Wycheproof, run through the traits of this crate: every case that they can express. The other cases are
//! counted by reason.

mod derivation;
mod gcm;
mod signatures;

use std::vec::Vec;

/// The numbers of executed and skipped cases of one set.
#[derive(Default)]
struct Tally {
    run: usize,
    skipped: Vec<(&'static str, usize)>,
}

impl Tally {
    fn run(&mut self) {
        self.run += 1;
    }

    fn skip(&mut self, reason: &'static str) {
        match self.skipped.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.skipped.push((reason, 1)),
        }
    }

    /// Every case is either executed or skipped: a new version of the vectors must be reviewed before it passes.
    #[track_caller]
    fn assert(mut self, total: usize, run: usize, skipped: &[(&'static str, usize)]) {
        self.skipped.sort_unstable();
        assert_eq!(self.skipped, skipped);
        assert_eq!(self.run, run);
        assert_eq!(run + skipped.iter().map(|(_, count)| count).sum::<usize>(), total);
    }
}
