//! The attacks, and the refusal that must stop each of them.

use std::time::Duration;

use taskseal::broker::TaskState;
use taskseal::broker::redis::asynq::Message;
use taskseal::client::ClientError;
use taskseal::keys::SealingKey;
use taskseal::time::UnixMillis;
use taskseal::{Client, QueueName, Receipt, Task};
use taskseal_core::keys::{AgreementPublicKey, SigningKey};
use taskseal_core::name::InvalidName;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, KeyId, Refusal, Sealer, Signer, TaskId, TaskType, Unverified,
};

use super::attacker::{AnyError, Attacker};

/// What an attack has at hand: a running deployment, and an attacker in its queue.
pub(super) struct Context<'d> {
    pub(super) attacker: Attacker<'d>,
    pub(super) client: &'d Client,
    pub(super) deployment: String,
    pub(super) issuer: String,
    pub(super) queue: QueueName,
    /// A second queue of the same worker.
    pub(super) other_queue: QueueName,
    /// Public, so the attacker has it.
    pub(super) worker_key: AgreementPublicKey,
    /// The producer's kid, public too.
    pub(super) producer: KeyId,
    /// A key that the attacker generated.
    pub(super) outsider: &'d SigningKey,
    /// A key of the keyset that may seal only `note:keep` as `sensor-2`, from a device that the attacker has stolen.
    pub(super) insider: &'d SigningKey,
    /// The key of the honest producer, for tasks that it would have sealed at other times. The attacker does not have it.
    pub(super) honest: &'d SealingKey,
}

/// One kind of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The refusal that must stop it.
    pub(super) expected: Refusal,
}

/// What an attack did.
pub(super) enum Outcome {
    /// Enqueued a task, which a worker finds under this id.
    Enqueued(String),
    /// Replaced a result, with the answer of the client that read it.
    Read(Result<(), ClientError>),
}

macro_rules! attacks {
    ($($name:literal, $about:literal => $expected:ident, $run:ident;)*) => {
        /// Every attack, in the order of the report.
        pub(super) const ATTACKS: &[Attack] =
            &[$(Attack { name: $name, about: $about, expected: Refusal::$expected }),*];

        impl Attack {
            /// Carries out the attack against one finished task.
            pub(super) async fn run(self, context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
                match self.name {
                    $($name => $run(context, victim).await,)*
                    _ => Err("unknown attack".into()),
                }
            }
        }
    };
}

attacks! {
    "forge-unsealed", "enqueue a task that was never sealed" => Unsealed, forge_unsealed;
    "strip-seal", "replace a sealed payload with a plain one" => Unsealed, strip_seal;
    "garble-message", "make the stored message undecodable" => Malformed, garble_message;
    "truncate-envelope", "cut the last byte off an envelope" => Malformed, truncate_envelope;
    "respell-envelope", "encode an authentic envelope in another valid CBOR form" => Malformed, respell_envelope;
    "result-as-task", "enqueue the sealed result of a worker as a task" => WrongKind, result_as_task;
    "downgrade-suite", "forge a task that is signed but not encrypted" => SuiteNotAllowed, downgrade_suite;
    "forge-own-key", "seal a task with a key outside the keyset" => UnknownKey, forge_own_key;
    "forge-known-kid", "sign with another key under the producer's kid" => Rejected, forge_known_kid;
    "flip-ciphertext", "flip one bit of an encrypted body" => Rejected, flip_ciphertext;
    "flip-claims", "change the sealed task type in place" => Rejected, flip_claims;
    "impersonate", "seal as another issuer with a stolen device key" => IssuerNotAllowed, impersonate;
    "overreach", "seal a forbidden task type with a stolen device key" => TypeNotAllowed, overreach;
    "redirect-queue", "move an authentic task to another queue" => WrongAudience, redirect_queue;
    "cross-deployment", "enqueue a task of the staging deployment" => WrongAudience, cross_deployment;
    "hold-back", "hold a task back until it has expired" => Expired, hold_back;
    "pull-forward", "make a task pending before its time" => NotYetValid, pull_forward;
    "retype-metadata", "change the task type outside the envelope" => MetadataMismatch, retype_metadata;
    "swap-payloads", "swap the sealed payloads of two tasks" => MetadataMismatch, swap_payloads;
    "replay-new-id", "enqueue a copy of a finished task under a new id" => MetadataMismatch, replay_new_id;
    "replay", "enqueue a copy of a finished task" => Replayed, replay;
    "reset-attempts", "reset the counter of a task without attempts left" => AttemptsExhausted, reset_attempts;
    "forge-result", "replace the result of a task with an unsealed one" => Unsealed, forge_result;
    "swap-results", "replace the result of a task with that of another" => WrongRequest, swap_results;
}

impl Context<'_> {
    fn claims<'a>(
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

    fn audience(&self) -> String {
        format!("{}/{}", self.deployment, self.queue)
    }

    fn seal(
        &self,
        signer: impl Signer<Error: std::fmt::Debug>,
        claims: &Claims<'_>,
    ) -> Result<Vec<u8>, AnyError> {
        let mut sealer = Sealer::sign_encrypt_to(signer, &self.worker_key);
        let mut envelope = vec![0; sealer.sealed_len(claims, ContentType::OCTETS, FORGED_BODY.len())];
        sealer
            .seal(claims, ContentType::OCTETS, FORGED_BODY, &mut getrandom::SysRng, &mut envelope)
            .map_err(|error| format!("{error:?}"))?;
        Ok(envelope)
    }

    /// Enqueues an envelope with matching metadata.
    async fn enqueue(&self, queue: &QueueName, envelope: Vec<u8>) -> Result<Outcome, AnyError> {
        let message = matching(queue, envelope)?;
        let id = message.id.clone();
        self.attacker.replace(queue, message).await?;
        Ok(Outcome::Enqueued(id))
    }

    /// Reads a task that an honest client has just enqueued.
    async fn fresh_task(&self, task_type: &str) -> Result<Message, AnyError> {
        let task = Task::from_bytes(task_type, ContentType::OCTETS, FORGED_BODY.to_vec())?;
        let receipt = self.client.enqueue(task.queue(self.queue.clone())).await?;
        let (_, message) = self.attacker.read(&self.queue, &receipt.id.to_string()).await?;
        Ok(message)
    }
}

/// The body of forged tasks.
pub(super) const FORGED_BODY: &[u8] = b"forged";

/// Returns a message whose metadata equal the claims of the envelope.
fn matching(queue: &QueueName, envelope: Vec<u8>) -> Result<Message, AnyError> {
    let claims = *Unverified::parse(&envelope)?.danger_claims_unverified();
    let (task_type, id) = (claims.task_type.to_string(), claims.task_id.to_string());
    let queue = queue.to_string();
    Ok(Message { task_type, id, queue, payload: envelope, retry: 25, timeout: 1800, ..Message::default() })
}

async fn forge_unsealed(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let id = uuid::Uuid::now_v7().to_string();
    let (task_type, queue) = ("file:digest".to_owned(), context.queue.to_string());
    let payload = FORGED_BODY.to_vec();
    let message =
        Message { task_type, id: id.clone(), queue, payload, retry: 25, timeout: 1800, ..Message::default() };
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

async fn strip_seal(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let message = context.fresh_task("file:digest").await?;
    let id = message.id.clone();
    context.attacker.replace(&context.queue, Message { payload: FORGED_BODY.to_vec(), ..message }).await?;
    Ok(Outcome::Enqueued(id))
}

async fn garble_message(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let id = context.fresh_task("file:digest").await?.id;
    context.attacker.storage.garble(&context.queue, &id).await?;
    Ok(Outcome::Enqueued(id))
}

async fn truncate_envelope(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut message = context.fresh_task("file:digest").await?;
    message.payload.pop();
    let id = message.id.clone();
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

async fn respell_envelope(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut message = context.fresh_task("file:digest").await?;
    // The head of the array of 4 in two bytes instead of one: a lenient decoder finds the same signed bytes.
    message.payload.splice(1..2, [0x98, 0x04]);
    let id = message.id.clone();
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

async fn result_as_task(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    let (info, message) = context.attacker.read(&context.queue, &victim.id.to_string()).await?;
    let payload = info.result.ok_or("no result to read")?;
    let id = message.id.clone();
    context.attacker.replace(&context.queue, Message { payload, ..message }).await?;
    Ok(Outcome::Enqueued(id))
}

async fn downgrade_suite(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let audience = context.audience();
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    let mut sealer = Sealer::sign(Impostor { key: context.outsider, kid: context.producer });
    let mut envelope = vec![0; sealer.sealed_len(&claims, ContentType::OCTETS, FORGED_BODY.len())];
    sealer.seal(&claims, ContentType::OCTETS, FORGED_BODY, &mut getrandom::SysRng, &mut envelope)?;
    context.enqueue(&context.queue, envelope).await
}

async fn forge_own_key(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let audience = context.audience();
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    context.enqueue(&context.queue, context.seal(context.outsider, &claims)?).await
}

async fn forge_known_kid(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let audience = context.audience();
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    let impostor = Impostor { key: context.outsider, kid: context.producer };
    context.enqueue(&context.queue, context.seal(impostor, &claims)?).await
}

async fn flip_ciphertext(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut message = context.fresh_task("file:digest").await?;
    // The recipient (104 bytes) and the signature (66) follow the ciphertext with its tag.
    let place = message.payload.len() - 66 - 104 - 16 - 1;
    *message.payload.get_mut(place).ok_or("too short to flip")? ^= 1;
    let id = message.id.clone();
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

async fn flip_claims(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let mut message = context.fresh_task("file:digest").await?;
    let found = message.payload.windows(11).position(|window| window == b"file:digest");
    let place = found.ok_or("no type in the claims")?;
    message.payload.splice(place..place + 11, *b"file:delete");
    "file:delete".clone_into(&mut message.task_type);
    let id = message.id.clone();
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

async fn impersonate(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let audience = context.audience();
    let claims = context.claims(&context.issuer, "note:keep", &audience)?;
    context.enqueue(&context.queue, context.seal(context.insider, &claims)?).await
}

async fn overreach(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let audience = context.audience();
    let claims = context.claims("sensor-2", "file:digest", &audience)?;
    context.enqueue(&context.queue, context.seal(context.insider, &claims)?).await
}

async fn redirect_queue(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let message = context.fresh_task("file:digest").await?;
    context.attacker.storage.erase(&context.queue, &message.id).await?;
    let (id, queue) = (message.id.clone(), context.other_queue.to_string());
    context.attacker.replace(&context.other_queue, Message { queue, ..message }).await?;
    Ok(Outcome::Enqueued(id))
}

async fn cross_deployment(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let audience = format!("staging/{}", context.queue);
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    context.enqueue(&context.queue, context.honest.seal(&claims, ContentType::OCTETS, FORGED_BODY)?).await
}

async fn hold_back(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let audience = context.audience();
    let sealed_at = now() - 7200;
    let claims = context.claims(&context.issuer, "file:digest", &audience)?;
    let claims = claims.issued_at(sealed_at).expires_at(sealed_at + 3600);
    context.enqueue(&context.queue, context.honest.seal(&claims, ContentType::OCTETS, FORGED_BODY)?).await
}

async fn pull_forward(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let later = UnixMillis::now().plus(Duration::from_secs(3600));
    let task = Task::from_bytes("file:digest", ContentType::OCTETS, FORGED_BODY.to_vec())?;
    let receipt = context.client.enqueue(task.queue(context.queue.clone()).process_at(later)).await?;
    let id = receipt.id.to_string();
    let (_, message) = context.attacker.read(&context.queue, &id).await?;
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

async fn retype_metadata(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let message = context.fresh_task("file:digest").await?;
    let id = message.id.clone();
    let task_type = "note:keep".to_owned();
    context.attacker.replace(&context.queue, Message { task_type, ..message }).await?;
    Ok(Outcome::Enqueued(id))
}

async fn swap_payloads(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let (mut one, mut other) =
        (context.fresh_task("file:digest").await?, context.fresh_task("file:digest").await?);
    std::mem::swap(&mut one.payload, &mut other.payload);
    let id = one.id.clone();
    context.attacker.replace(&context.queue, one).await?;
    context.attacker.replace(&context.queue, other).await?;
    Ok(Outcome::Enqueued(id))
}

async fn replay_new_id(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    let (_, message) = context.attacker.read(&context.queue, &victim.id.to_string()).await?;
    let id = uuid::Uuid::now_v7().to_string();
    context.attacker.replace(&context.queue, Message { id: id.clone(), ..message }).await?;
    Ok(Outcome::Enqueued(id))
}

async fn replay(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    let (_, message) = context.attacker.read(&context.queue, &victim.id.to_string()).await?;
    let id = message.id.clone();
    context.attacker.replace(&context.queue, message).await?;
    Ok(Outcome::Enqueued(id))
}

async fn reset_attempts(context: &Context<'_>, _: &Receipt) -> Result<Outcome, AnyError> {
    let exhausted = context.attacker.broker.list(&context.queue, TaskState::Archived, 0, 1000).await?;
    let failed = exhausted.into_iter().filter_map(|info| info.message);
    let message = failed.into_iter().find(|message| message.task_type == "file:fail");
    let message = message.ok_or("no failed task to reset")?;
    let id = message.id.clone();
    context.attacker.replace(&context.queue, Message { retried: 0, ..message }).await?;
    Ok(Outcome::Enqueued(id))
}

async fn forge_result(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    context
        .attacker
        .storage
        .set_result(&context.queue, &victim.id.to_string(), b"{\"sha256\":\"0\"}")
        .await?;
    Ok(Outcome::Read(context.client.result(victim).await.map(drop)))
}

async fn swap_results(context: &Context<'_>, victim: &Receipt) -> Result<Outcome, AnyError> {
    let completed = context.attacker.broker.list(&context.queue, TaskState::Completed, 0, 100).await?;
    let own = victim.id.to_string();
    let other = completed.into_iter().find(|info| info.id != own).and_then(|info| info.result);
    let result = other.ok_or("no other result to read")?;
    context.attacker.storage.set_result(&context.queue, &own, &result).await?;
    Ok(Outcome::Read(context.client.result(victim).await.map(drop)))
}

/// Signs with one key under the kid of another one.
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

fn now() -> u64 {
    u64::try_from(UnixMillis::now().as_secs()).unwrap_or_default()
}
