//! One story under load, from a queue without sealing to a keyset whose first root is lost. The step `drill` runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod accounts;
mod chapters;
mod forger;
mod load;
mod plant;
#[path = "../cli/support/program.rs"]
#[allow(dead_code, reason = "the tests of the command line use the rest")]
mod program;
mod ran;
mod unsealed;
mod waiting;
mod worker;

use std::time::Instant;

use self::chapters::Drill;

/// Runs the chapters in their order: each begins with what the former one has left.
#[test]
#[ignore = "takes two minutes and both processors: tests/run drill"]
fn deployment_is_sealed_rotated_revoked_and_repaired_under_load() {
    let Some(mut drill) = Drill::begin() else { return };
    let begin = Instant::now();
    drill.introduce_sealing();
    drill.rotate_every_kind_of_key();
    drill.revoke_a_stolen_key();
    drill.offer_bad_keysets();
    drill.lose_the_first_root();
    drill.lose_every_source();
    drill.end();
    println!("drill: {} s", begin.elapsed().as_secs());
}
