//! What the intruder tries, and what must stop each attempt.

use std::time::Duration;

use taskseal::broker::{TaskRecord, TaskState};
use taskseal::client::ClientError;
use taskseal::keys::SealingKey;
use taskseal::time::UnixMillis;
use taskseal::{Client, QueueName, Receipt, Task};
use taskseal_core::keys::{AgreementPublicKey, SigningKey};
use taskseal_core::name::InvalidName;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, KeyId, Refusal, Sealer, Signer, TaskId, TaskType, Unverified,
};

use super::intruder::{Intruder, Mishap};

/// Where attacks happen: a deployment at work, and an intruder in its queue.
pub(super) struct Stage<'d> {
    pub(super) intruder: Intruder<'d>,
    pub(super) client: &'d Client,
    pub(super) deployment: String,
    pub(super) issuer: String,
    pub(super) queue: QueueName,
    /// A second queue of the same worker.
    pub(super) other_queue: QueueName,
    /// Public, so the intruder has it.
    pub(super) worker_key: AgreementPublicKey,
    /// The producer's kid, public too.
    pub(super) producer: KeyId,
    /// A key the intruder made.
    pub(super) outsider: &'d SigningKey,
    /// A key of the keyset that may seal `note:keep` as `sensor-2` only: a device that fell into the intruder's hands.
    pub(super) insider: &'d SigningKey,
    /// An honest producer's key, for what it would have sealed at other times. Never shown to the intruder.
    pub(super) honest: &'d SealingKey,
}

/// One kind of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What must stop it.
    pub(super) expected: Refusal,
}

/// What an attack left behind.
pub(super) enum Planted {
    /// A task that a worker will find under this id.
    Task(String),
    /// Something that the client refused when it read the result.
    Read(Result<(), ClientError>),
}

macro_rules! attacks {
    ($($name:literal, $about:literal => $expected:ident, $run:ident;)*) => {
        /// Every attack, in the order of the report.
        pub(super) const ATTACKS: &[Attack] =
            &[$(Attack { name: $name, about: $about, expected: Refusal::$expected }),*];

        impl Attack {
            /// Carries the attack out against one finished task of the stage.
            pub(super) async fn run(self, stage: &Stage<'_>, victim: &Receipt) -> Result<Planted, Mishap> {
                match self.name {
                    $($name => $run(stage, victim).await,)*
                    _ => Err("no such attack".into()),
                }
            }
        }
    };
}

attacks! {
    "forge-unsealed", "plant a task that was never sealed" => Unsealed, forge_unsealed;
    "strip-seal", "put a plain payload in the place of a sealed one" => Unsealed, strip_seal;
    "garble-message", "make the stored message undecodable" => Malformed, garble_message;
    "truncate-envelope", "cut the last byte off an envelope" => Malformed, truncate_envelope;
    "respell-envelope", "spell an authentic envelope in another valid CBOR way" => Malformed, respell_envelope;
    "result-as-task", "plant a worker's sealed result as a task" => WrongKind, result_as_task;
    "downgrade-suite", "forge a task that is signed but not encrypted" => SuiteNotAllowed, downgrade_suite;
    "forge-own-key", "seal a task with a key of one's own" => UnknownKey, forge_own_key;
    "forge-known-kid", "sign with a key of one's own under the producer's kid" => Rejected, forge_known_kid;
    "flip-ciphertext", "flip one bit of an encrypted body" => Rejected, flip_ciphertext;
    "flip-claims", "change the sealed task type in place" => Rejected, flip_claims;
    "impersonate", "seal as another issuer with a stolen device key" => IssuerNotAllowed, impersonate;
    "overreach", "seal a forbidden task type with a stolen device key" => TypeNotAllowed, overreach;
    "redirect-queue", "move an authentic task to another queue" => WrongAudience, redirect_queue;
    "cross-deployment", "bring a task of the staging deployment" => WrongAudience, cross_deployment;
    "hold-back", "withhold a task until it has expired and deliver it then" => Expired, hold_back;
    "pull-forward", "make a task pending before its time" => NotYetValid, pull_forward;
    "retype-metadata", "change the task type beside the seal" => MetadataMismatch, retype_metadata;
    "swap-payloads", "swap the sealed payloads of two tasks" => MetadataMismatch, swap_payloads;
    "replay-new-id", "plant a copy of a finished task under a new id" => MetadataMismatch, replay_new_id;
    "replay", "plant a copy of a finished task" => Replayed, replay;
    "reset-attempts", "reset the counter of a task whose attempts are used up" => AttemptsExhausted, reset_attempts;
    "forge-result", "put a result of one's own beside a finished task" => Unsealed, forge_result;
    "swap-results", "put the sealed result of another task beside a finished task" => WrongRequest, swap_results;
}

impl Stage<'_> {
    fn claims<'a>(
        &'a self,
        issuer: &'a str,
        task_type: &'a str,
        audience: &'a str,
    ) -> Result<Claims<'a>, InvalidName> {
        let now = seconds();
        let id = TaskId::from_bytes(*uuid::Uuid::now_v7().as_bytes());
        let claims =
            Claims::new(Issuer::new(issuer)?, TaskType::new(task_type)?, Audience::new(audience)?, id);
        Ok(claims.issued_at(now).expires_at(now + 600))
    }

    fn audience(&self) -> String {
        format!("{}/{}", self.deployment, self.queue)
    }

    fn seal(
        &self,
        signer: impl Signer<Error: std::fmt::Debug>,
        claims: &Claims<'_>,
    ) -> Result<Vec<u8>, Mishap> {
        let mut sealer = Sealer::sign_encrypt_to(signer, &self.worker_key);
        let mut envelope = vec![0; sealer.sealed_len(claims, ContentType::OCTETS, LOOT.len())];
        sealer
            .seal(claims, ContentType::OCTETS, LOOT, &mut getrandom::SysRng, &mut envelope)
            .map_err(|error| format!("{error:?}"))?;
        Ok(envelope)
    }

    /// Plants an envelope with metadata that fit it.
    async fn plant(&self, queue: &QueueName, envelope: Vec<u8>) -> Result<Planted, Mishap> {
        let record = fitting(queue, envelope)?;
        let id = record.id.clone();
        self.intruder.plant(queue, record).await?;
        Ok(Planted::Task(id))
    }

    /// Has an honest client enqueue a task that no worker has seen, and steals it.
    async fn bait(&self, task_type: &str) -> Result<TaskRecord, Mishap> {
        let task = Task::from_bytes(task_type, ContentType::OCTETS, LOOT.to_vec())?;
        let receipt = self.client.enqueue(task.queue(self.queue.clone())).await?;
        let (_, record) = self.intruder.steal(&self.queue, &receipt.id.to_string()).await?;
        Ok(record)
    }
}

/// What a forged task would have a worker do.
pub(super) const LOOT: &[u8] = b"forged";

/// Returns a record that agrees with the envelope.
fn fitting(queue: &QueueName, envelope: Vec<u8>) -> Result<TaskRecord, Mishap> {
    let claims = *Unverified::parse(&envelope)?.danger_claims_unverified();
    let (task_type, id) = (claims.task_type.to_string(), claims.task_id.to_string());
    let queue = queue.to_string();
    Ok(TaskRecord { task_type, id, queue, envelope: envelope.into(), ..TaskRecord::default() })
}

/// Changes the envelope of a record.
fn edit(record: &mut TaskRecord, change: impl FnOnce(&mut Vec<u8>)) {
    let mut envelope = record.envelope.to_vec();
    change(&mut envelope);
    record.envelope = envelope.into();
}

async fn forge_unsealed(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let id = uuid::Uuid::now_v7().to_string();
    let (task_type, queue) = ("file:digest".to_owned(), stage.queue.to_string());
    let envelope = LOOT.into();
    let record = TaskRecord { task_type, id: id.clone(), queue, envelope, ..TaskRecord::default() };
    stage.intruder.plant(&stage.queue, record).await?;
    Ok(Planted::Task(id))
}

async fn strip_seal(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let record = stage.bait("file:digest").await?;
    let id = record.id.clone();
    stage.intruder.plant(&stage.queue, TaskRecord { envelope: LOOT.into(), ..record }).await?;
    Ok(Planted::Task(id))
}

async fn garble_message(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let id = stage.bait("file:digest").await?.id;
    stage.intruder.storage.garble(&stage.queue, &id).await?;
    Ok(Planted::Task(id))
}

async fn truncate_envelope(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let mut record = stage.bait("file:digest").await?;
    record.envelope = record.envelope.slice(..record.envelope.len() - 1);
    let id = record.id.clone();
    stage.intruder.plant(&stage.queue, record).await?;
    Ok(Planted::Task(id))
}

async fn respell_envelope(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let mut record = stage.bait("file:digest").await?;
    // The head of the array of 4 in two bytes instead of one: a lenient decoder reads the same signed bytes.
    edit(&mut record, |envelope| drop(envelope.splice(1..2, [0x98, 0x04])));
    let id = record.id.clone();
    stage.intruder.plant(&stage.queue, record).await?;
    Ok(Planted::Task(id))
}

async fn result_as_task(stage: &Stage<'_>, victim: &Receipt) -> Result<Planted, Mishap> {
    let (info, record) = stage.intruder.steal(&stage.queue, &victim.id.to_string()).await?;
    let envelope = info.result.ok_or("no result to steal")?.into();
    let id = record.id.clone();
    stage.intruder.plant(&stage.queue, TaskRecord { envelope, ..record }).await?;
    Ok(Planted::Task(id))
}

async fn downgrade_suite(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let audience = stage.audience();
    let claims = stage.claims(&stage.issuer, "file:digest", &audience)?;
    let mut sealer = Sealer::sign(Impostor { key: stage.outsider, kid: stage.producer });
    let mut envelope = vec![0; sealer.sealed_len(&claims, ContentType::OCTETS, LOOT.len())];
    sealer.seal(&claims, ContentType::OCTETS, LOOT, &mut getrandom::SysRng, &mut envelope)?;
    stage.plant(&stage.queue, envelope).await
}

async fn forge_own_key(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let audience = stage.audience();
    let claims = stage.claims(&stage.issuer, "file:digest", &audience)?;
    stage.plant(&stage.queue, stage.seal(stage.outsider, &claims)?).await
}

async fn forge_known_kid(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let audience = stage.audience();
    let claims = stage.claims(&stage.issuer, "file:digest", &audience)?;
    let impostor = Impostor { key: stage.outsider, kid: stage.producer };
    stage.plant(&stage.queue, stage.seal(impostor, &claims)?).await
}

async fn flip_ciphertext(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let mut record = stage.bait("file:digest").await?;
    // The recipient (104 bytes) and the signature (66) stand behind the ciphertext, its tag included.
    let place = record.envelope.len() - 66 - 104 - 16 - 1;
    edit(&mut record, |envelope| envelope.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1));
    let id = record.id.clone();
    stage.intruder.plant(&stage.queue, record).await?;
    Ok(Planted::Task(id))
}

async fn flip_claims(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let mut record = stage.bait("file:digest").await?;
    let found = record.envelope.windows(11).position(|window| window == b"file:digest");
    let place = found.ok_or("no type in the claims")?;
    edit(&mut record, |envelope| drop(envelope.splice(place..place + 11, *b"file:delete")));
    "file:delete".clone_into(&mut record.task_type);
    let id = record.id.clone();
    stage.intruder.plant(&stage.queue, record).await?;
    Ok(Planted::Task(id))
}

async fn impersonate(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let audience = stage.audience();
    let claims = stage.claims(&stage.issuer, "note:keep", &audience)?;
    stage.plant(&stage.queue, stage.seal(stage.insider, &claims)?).await
}

async fn overreach(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let audience = stage.audience();
    let claims = stage.claims("sensor-2", "file:digest", &audience)?;
    stage.plant(&stage.queue, stage.seal(stage.insider, &claims)?).await
}

async fn redirect_queue(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let record = stage.bait("file:digest").await?;
    stage.intruder.storage.erase(&stage.queue, &record.id).await?;
    let (id, queue) = (record.id.clone(), stage.other_queue.to_string());
    stage.intruder.plant(&stage.other_queue, TaskRecord { queue, ..record }).await?;
    Ok(Planted::Task(id))
}

async fn cross_deployment(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let audience = format!("staging/{}", stage.queue);
    let claims = stage.claims(&stage.issuer, "file:digest", &audience)?;
    stage.plant(&stage.queue, stage.honest.seal(&claims, ContentType::OCTETS, LOOT)?).await
}

async fn hold_back(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let audience = stage.audience();
    let sealed_at = seconds() - 7200;
    let claims = stage.claims(&stage.issuer, "file:digest", &audience)?;
    let claims = claims.issued_at(sealed_at).expires_at(sealed_at + 3600);
    stage.plant(&stage.queue, stage.honest.seal(&claims, ContentType::OCTETS, LOOT)?).await
}

async fn pull_forward(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let later = UnixMillis::now().plus(Duration::from_secs(3600));
    let task = Task::from_bytes("file:digest", ContentType::OCTETS, LOOT.to_vec())?;
    let receipt = stage.client.enqueue(task.queue(stage.queue.clone()).process_at(later)).await?;
    let id = receipt.id.to_string();
    let (_, record) = stage.intruder.steal(&stage.queue, &id).await?;
    stage.intruder.plant(&stage.queue, record).await?;
    Ok(Planted::Task(id))
}

async fn retype_metadata(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let record = stage.bait("file:digest").await?;
    let id = record.id.clone();
    let task_type = "note:keep".to_owned();
    stage.intruder.plant(&stage.queue, TaskRecord { task_type, ..record }).await?;
    Ok(Planted::Task(id))
}

async fn swap_payloads(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let (mut one, mut other) = (stage.bait("file:digest").await?, stage.bait("file:digest").await?);
    std::mem::swap(&mut one.envelope, &mut other.envelope);
    let id = one.id.clone();
    stage.intruder.plant(&stage.queue, one).await?;
    stage.intruder.plant(&stage.queue, other).await?;
    Ok(Planted::Task(id))
}

async fn replay_new_id(stage: &Stage<'_>, victim: &Receipt) -> Result<Planted, Mishap> {
    let (_, record) = stage.intruder.steal(&stage.queue, &victim.id.to_string()).await?;
    let id = uuid::Uuid::now_v7().to_string();
    stage.intruder.plant(&stage.queue, TaskRecord { id: id.clone(), ..record }).await?;
    Ok(Planted::Task(id))
}

async fn replay(stage: &Stage<'_>, victim: &Receipt) -> Result<Planted, Mishap> {
    let (_, record) = stage.intruder.steal(&stage.queue, &victim.id.to_string()).await?;
    let id = record.id.clone();
    stage.intruder.plant(&stage.queue, record).await?;
    Ok(Planted::Task(id))
}

async fn reset_attempts(stage: &Stage<'_>, _: &Receipt) -> Result<Planted, Mishap> {
    let exhausted = stage.intruder.broker.list(&stage.queue, TaskState::Archived, 0, 1000).await?;
    let failed = exhausted.into_iter().filter_map(|info| info.record);
    let record = failed.into_iter().find(|record| record.task_type == "file:fail");
    let record = record.ok_or("no failed task to reset")?;
    let id = record.id.clone();
    stage.intruder.plant(&stage.queue, record).await?;
    Ok(Planted::Task(id))
}

async fn forge_result(stage: &Stage<'_>, victim: &Receipt) -> Result<Planted, Mishap> {
    stage.intruder.storage.set_result(&stage.queue, &victim.id.to_string(), b"{\"sha256\":\"0\"}").await?;
    Ok(Planted::Read(stage.client.result(victim).await.map(drop)))
}

async fn swap_results(stage: &Stage<'_>, victim: &Receipt) -> Result<Planted, Mishap> {
    let completed = stage.intruder.broker.list(&stage.queue, TaskState::Completed, 0, 100).await?;
    let own = victim.id.to_string();
    let other = completed.into_iter().find(|info| info.id != own).and_then(|info| info.result);
    let result = other.ok_or("no other result to steal")?;
    stage.intruder.storage.set_result(&stage.queue, &own, &result).await?;
    Ok(Planted::Read(stage.client.result(victim).await.map(drop)))
}

/// Signs with one key under the kid of another.
struct Impostor<'k> {
    key: &'k SigningKey,
    kid: KeyId,
}

impl Signer for Impostor<'_> {
    type Error = std::convert::Infallible;

    fn kid(&self) -> KeyId {
        self.kid
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error> {
        let mut key = self.key;
        key.sign_digest(digest)
    }
}

fn seconds() -> u64 {
    u64::try_from(UnixMillis::now().as_secs()).unwrap_or_default()
}
