//! What attacks work with, and the operations that they share.

use taskseal::broker::TaskRecord;
use taskseal::keys::SealingKey;
use taskseal::time::UnixMillis;
use taskseal::{Client, QueueName, Task};
use taskseal_core::keys::{AgreementPublicKey, SigningKey};
use taskseal_core::name::InvalidName;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, KeyId, Sealer, Signer, TaskId, TaskType, Unverified,
};

use super::Outcome;
use crate::cmd::demo::attacker::{AnyError, Attacker};

/// What an attack works with: a running deployment, and an attacker in its queue.
pub(crate) struct Context<'d> {
    pub(crate) attacker: Attacker<'d>,
    pub(crate) client: &'d Client,
    pub(crate) deployment: String,
    pub(crate) issuer: String,
    pub(crate) queue: QueueName,
    /// A second queue of the same worker.
    pub(crate) other_queue: QueueName,
    /// Public, so the attacker has it.
    pub(crate) worker_key: AgreementPublicKey,
    /// The producer's kid, public too.
    pub(crate) producer: KeyId,
    /// A key that the attacker generated.
    pub(crate) outsider: &'d SigningKey,
    /// A key of the keyset that may seal only `note:keep` as `sensor-2`, from a device that the attacker has stolen.
    pub(crate) insider: &'d SigningKey,
    /// The key of the honest producer, for tasks that it would have sealed at other times. The attacker does not have it.
    pub(crate) honest: &'d SealingKey,
}

impl Context<'_> {
    pub(super) fn claims<'a>(
        &'a self,
        issuer: &'a str,
        task_type: &'a str,
        audience: &'a str,
    ) -> Result<Claims<'a>, InvalidName> {
        let now = now();
        let id = TaskId::from_bytes(*uuid::Uuid::now_v7().as_bytes());
        let claims =
            Claims::new(Issuer::new(issuer)?, TaskType::new(task_type)?, Audience::new(audience)?, id);
        Ok(claims.issued_at(now).expires_at(now + 600))
    }

    pub(super) fn audience(&self) -> String {
        format!("{}/{}", self.deployment, self.queue)
    }

    /// Seals with one key under the kid of any key.
    pub(super) fn seal(
        &self,
        key: &SigningKey,
        kid: KeyId,
        claims: &Claims<'_>,
    ) -> Result<Vec<u8>, AnyError> {
        let mut sealer = Sealer::sign_encrypt_to(KeyUnderKid { key, kid }, &self.worker_key);
        let mut envelope = vec![0; sealer.sealed_len(claims, ContentType::OCTETS, FORGED_BODY.len())];
        sealer
            .seal(claims, ContentType::OCTETS, FORGED_BODY, &mut getrandom::SysRng, &mut envelope)
            .map_err(|error| format!("{error:?}"))?;
        Ok(envelope)
    }

    /// Enqueues an envelope with matching metadata.
    pub(super) async fn enqueue(&self, queue: &QueueName, envelope: Vec<u8>) -> Result<Outcome, AnyError> {
        self.replace(queue, matching(queue, envelope)?).await
    }

    /// Enqueues a record and replaces any task with its id.
    pub(super) async fn replace(&self, queue: &QueueName, record: TaskRecord) -> Result<Outcome, AnyError> {
        let id = record.id.clone();
        self.attacker.replace(queue, record).await?;
        Ok(Outcome::Enqueued(id))
    }

    /// Reads a task that an honest client has just enqueued.
    pub(super) async fn fresh_task(&self, task_type: &str) -> Result<TaskRecord, AnyError> {
        let task = Task::from_bytes(task_type, ContentType::OCTETS, FORGED_BODY.to_vec())?;
        let receipt = self.client.enqueue(task.queue(self.queue.clone())).await?;
        let (_, record) = self.attacker.read(&self.queue, &receipt.id.to_string()).await?;
        Ok(record)
    }
}

/// The body of forged tasks.
pub(crate) const FORGED_BODY: &[u8] = b"forged";

/// Returns a record that agrees with the envelope.
fn matching(queue: &QueueName, envelope: Vec<u8>) -> Result<TaskRecord, AnyError> {
    let claims = *Unverified::parse(&envelope)?.danger_claims_unverified();
    let (task_type, id) = (claims.task_type.to_string(), claims.task_id.to_string());
    let queue = queue.to_string();
    Ok(TaskRecord { task_type, id, queue, envelope: envelope.into(), ..TaskRecord::default() })
}

/// Returns the time in seconds since 1970.
pub(super) fn now() -> u64 {
    u64::try_from(UnixMillis::now().as_secs()).unwrap_or_default()
}

/// Signs with one key under the kid of any key.
pub(super) struct KeyUnderKid<'k> {
    pub(super) key: &'k SigningKey,
    pub(super) kid: KeyId,
}

impl Signer for KeyUnderKid<'_> {
    type Error = std::convert::Infallible;

    fn kid(&self) -> KeyId {
        self.kid
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error> {
        let mut key = self.key;
        key.sign_digest(digest)
    }
}
