//! Takes a batch of leased tasks through the stages [`verify`], [`admit`] and
//! [`decrypt`]. These compute and may block, so they run in no async task.

use super::shared::Shared;
use super::task_state::{AdmittedTask, BatchDecision, DecryptedTask, LeasedTask, Outcome, StageDecision};
use super::{admit, decrypt, verify};
use crate::queue::QueueName;

/// Decides which tasks of a batch from `queue` run.
pub(super) fn prepare(
    shared: &Shared,
    queue: &QueueName,
    tasks: &[LeasedTask],
) -> BatchDecision<Box<DecryptedTask>> {
    let audience = shared.settings.audience(queue);
    let keys = &*shared.keys.snapshot();
    let pool = &shared.cpu_pool;
    let verified = pool.par_map(tasks.iter().collect(), |task| verify::verify(shared, keys, &audience, task));
    let BatchDecision { decisions, ledger_responded } = admit::admit(shared, verified, tasks);
    let admitted: Vec<_> = decisions.into_iter().zip(tasks).collect();
    let decrypt = |(decision, task): (StageDecision<AdmittedTask<'_>>, &LeasedTask)| {
        let admitted = decision?;
        // Tasks before this one in the batch may have waited for a token.
        let runnable = shared.still_runnable(&task.guard);
        runnable.map_break(|why| Outcome::not_started(why, admitted.run.key.clone()))?;
        decrypt::decrypt(shared, keys, queue, admitted)
    };
    let mut decisions = pool.par_map(admitted, decrypt);
    let confirmed = decrypt::confirm(shared, keys, &mut decisions, tasks);
    BatchDecision { decisions, ledger_responded: ledger_responded && confirmed }
}
