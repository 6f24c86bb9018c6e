//! Batches of every size that has a different tree, and positions in them: first, last, a leaf without a sibling.

use taskseal_core::Suite;

use super::sealed::{Batch, task};
use super::{File, accepted, hex_of};
use crate::cose::{CLAIMS, PRIVATE, RESULT, TYP};
use crate::example::{self, BODY, sha256};
use crate::generate::envelope::example_s;
use crate::tree::{Node, bytes, int, map, text};

/// The header of a task made that of the result of the example of suite S.
pub(super) fn as_result(header: &mut Node) {
    header.set(TYP, text(RESULT));
    header.at(CLAIMS).append(int(PRIVATE), map([(11, bytes(&sha256(&example_s())))]));
}

pub(super) fn files() -> Vec<File> {
    let [one, two, three, five] = [1, 2, 3, 5].map(|size| Batch::new(Suite::S, size));
    let [many, most] = [64, 1024].map(|size| Batch::new(Suite::S, size));
    let [shared, agreed] = [Suite::Se, Suite::Sp].map(|suite| Batch::new(suite, 5));
    let s = |name, note, batch: &Batch, index| accepted(name, note, &batch.envelope(index)).producer().body();
    let result = Batch::new(Suite::S, 2).with(1, task(Suite::S, 1, as_result));
    vec![
        s("example_b", "suite S, the fourth of five", &five, 3),
        s("size_1", "a batch of one: no path at all", &one, 0),
        s("size_2_first", "the first of two", &two, 0),
        s("size_2_last", "the last of two", &two, 1),
        s("size_3_first", "the first of three: two hashes", &three, 0),
        s("size_3_middle", "the second of three", &three, 1),
        s("size_3_promoted", "the last of three, handed up alone: one hash", &three, 2),
        s("size_5_first", "the first of five: three hashes", &five, 0),
        s("size_5_promoted", "the last of five, handed up alone twice: one hash", &five, 4),
        s("size_64_first", "the first of 64", &many, 0),
        s("size_64_last", "the last of 64", &many, 63),
        s("size_1024_first", "the first of as many as there may be", &most, 0),
        s("size_1024_middle", "an index with a head of three bytes", &most, 511),
        s("size_1024_last", "the last of as many as there may be: ten hashes", &most, 1023),
        accepted("suite_se_first", "suite SE, the first of five", &shared.envelope(0))
            .producer()
            .shared()
            .body(),
        accepted("suite_se_promoted", "suite SE, the last of five", &shared.envelope(4))
            .producer()
            .shared()
            .body(),
        accepted("suite_se_size_1", "suite SE, a batch of one", &Batch::new(Suite::Se, 1).envelope(0))
            .producer()
            .shared()
            .body(),
        accepted(
            "suite_sp_first",
            "suite SP, the first of five under one ephemeral key",
            &agreed.envelope(0),
        )
        .producer()
        .worker()
        .body(),
        accepted(
            "suite_sp_last",
            "suite SP, the last of five: its IV counted up by four",
            &agreed.envelope(4),
        )
        .producer()
        .worker()
        .body(),
        accepted("suite_sp_size_1", "suite SP, a batch of one", &Batch::new(Suite::Sp, 1).envelope(0))
            .producer()
            .worker()
            .body(),
        accepted("result", "a result beside a task in one batch", &result.envelope(1))
            .policy("kind", "result")
            .policy("request", hex_of(&sha256(&example_s())))
            .es256(&example::producer().verifying_key())
            .line("record-kind", "result")
            .body_of(BODY),
    ]
}
