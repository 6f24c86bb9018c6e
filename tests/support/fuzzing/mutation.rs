//! Real envelopes, changed by instructions: random bytes alone never get near a signature.

use std::sync::LazyLock;

use taskseal_core::seal::{Mode, SigningMode};
use taskseal_core::{Claims, ContentType, Sealer, TaskId, TimeWindow, Unverified};

use super::envelope::{INNER, Keys, MAC, SHARED, SIGNING, policy, recipient};
use crate::example::{Counted, claims};

/// Envelopes of every suite, single and in a batch.
static SEALED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let worker = recipient();
    let mut all = vec![
        single(Sealer::sign(&*SIGNING)),
        single(Sealer::authenticate(&*MAC)),
        single(Sealer::encrypt(&SHARED)),
        single(Sealer::sign_encrypt(&*SIGNING, &INNER)),
        single(Sealer::sign_encrypt_to(&*SIGNING, &worker)),
    ];
    all.extend(batched(&mut Sealer::sign(&*SIGNING), 5));
    all.extend(batched(&mut Sealer::sign_encrypt_to(&*SIGNING, &worker), 3));
    all
});

fn numbered(number: u8) -> Claims<'static> {
    let mut claims = claims();
    claims.task_id = TaskId::from_bytes([number; 16]);
    claims
}

fn single<M: Mode>(mut sealer: Sealer<M>) -> Vec<u8>
where
    M::Error: std::fmt::Debug,
{
    let mut buffer = vec![0; sealer.sealed_len(&claims(), ContentType::JSON, 4)];
    let mut rng = Counted(0);
    sealer.seal(&claims(), ContentType::JSON, b"body", &mut rng, &mut buffer).expect("it can be sealed");
    buffer
}

fn batched<M: SigningMode>(sealer: &mut Sealer<M>, size: u8) -> Vec<Vec<u8>>
where
    <M::Signer as taskseal_core::Signer>::Error: std::fmt::Debug,
{
    let mut rng = Counted(0);
    let len = sealer.batched_len(&claims(), ContentType::JSON, 4, 8);
    let mut batch = sealer.batch::<8>();
    let mut tasks = Vec::new();
    for number in 0..size {
        let mut buffer = vec![0; len];
        let task = batch.add(&numbered(number), ContentType::JSON, b"body", &mut rng, &mut buffer);
        tasks.push((task.expect("there is room"), buffer));
    }
    let signed = batch.sign().expect("it can be signed");
    let finish = |(task, mut buffer): (_, Vec<u8>)| {
        let len = signed.finish(task, &mut buffer).expect("there is room").len();
        buffer.truncate(len);
        buffer
    };
    tasks.into_iter().map(finish).collect()
}

/// Nothing that differs from a sealed envelope verifies, however it was changed.
///
/// The first byte picks the envelope; every four bytes after it are an instruction: what to do, where (two bytes),
/// with which byte.
pub(super) fn mutation(bytes: &[u8]) {
    let Some((picked, instructions)) = bytes.split_first() else { return };
    let picked = usize::from(*picked) % SEALED.len();
    let original = SEALED.get(picked).expect("a remainder is in range");
    let mut changed = original.clone();
    for instruction in instructions.chunks_exact(4).take(16) {
        let [what, high, low, value] = *instruction else { continue };
        let at = usize::from(u16::from_be_bytes([high, low])) % (changed.len() + 1);
        match what % 6 {
            0 => changed.insert(at, value),
            1 if at < changed.len() => drop(changed.remove(at)),
            2 => changed.truncate(at),
            3 => changed.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value),
            4 => changed.iter_mut().skip(at).take(1).for_each(|byte| *byte = value),
            // A piece of another envelope in the same place.
            _ => {
                let other = SEALED.get(usize::from(value) % SEALED.len()).expect("a remainder is in range");
                let end = (at + 64).min(changed.len()).min(other.len());
                if let (Some(to), Some(from)) = (changed.get_mut(at..end), other.get(at..end)) {
                    to.copy_from_slice(from);
                }
            }
        }
    }
    let accepted = Unverified::parse(&changed).is_ok_and(|parsed| {
        let claims = parsed.danger_claims_unverified();
        let policy = policy(parsed.kind(), claims.audience, claims.request);
        let now = claims.issued_at.unwrap_or_default();
        parsed.verify(&Keys, &policy, &mut TimeWindow::exact(now)).is_ok()
    });
    assert!(!accepted || SEALED.contains(&changed), "accepted, and no key sealed it");
}
