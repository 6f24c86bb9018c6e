use taskseal_core::{Claims, ContentType, OpenError, Policy, Refusal, Suite, SuiteSet, TaskId, Unverified};

use super::*;
use crate::keys::testing::{Folder, RIGHTS, entry};
use crate::keys::{Algorithm, Draft, NotSealed, SealingKey, SealingSource, SecretKey};
use crate::time::clock;

fn claims(issuer: &'static str, id: u8) -> Claims<'static> {
    let (issuer, audience) = (Issuer::new(issuer).unwrap(), Audience::new("here/q").unwrap());
    Claims::new(issuer, TaskType::new("t").unwrap(), audience, TaskId::from_bytes([id; 16]))
        .issued_at(unix_seconds())
        .expires_at(unix_seconds() + 60)
}

fn rights(issuers: &str, types: &str, audiences: &str) -> String {
    format!("issuers = [\"{issuers}\"]\ntypes = [\"{types}\"]\naudiences = [\"{audiences}\"]\n")
}

fn recipient(key: &SecretKey, more: &str) -> String {
    entry(key, &format!("use = \"task\"\n{more}"))
}

/// A producer's key for every issuer, and two recipients.
struct World {
    folder: Folder,
    signer: String,
    keys: [SecretKey; 2],
}

impl World {
    fn new() -> Self {
        let folder = Folder::new();
        let sign = folder.key("sign.key", Algorithm::Es256);
        let signer = entry(&sign, &format!("use = \"task\"\n{}", RIGHTS.replace("me", "*")));
        let mut keys = ["a.key", "b.key"].map(|name| folder.key(name, Algorithm::EcdhEs));
        keys.sort_by_key(SecretKey::kid);
        Self { folder, signer, keys }
    }

    fn keyring(&self, recipients: &[String]) -> Keyring {
        self.folder.keyset(&format!("{}{}", self.signer, recipients.concat()))
    }

    fn sealing(&self, recipients: &[String]) -> SealingKey {
        let source = SealingSource::new(Suite::Sp, self.folder.path("sign.key"));
        self.keyring(recipients).sealing_key(&source, Kind::Task).unwrap()
    }

    fn chosen(&self, recipients: &[String]) -> Option<KeyId> {
        let sealing = self.sealing(recipients);
        let envelope = sealing.seal(&claims("me", 1), ContentType::JSON, b"{}").ok()?;
        Unverified::parse(&envelope).unwrap().recipient_kid()
    }

    /// The error of a source that names a recipient.
    fn fault(&self, recipients: &[String], named: &NamedRecipient, kind: Kind) -> KeyError {
        self.keyring(recipients).recipient(named, kind).unwrap_err()
    }
}

#[test]
fn body_that_matches_no_recipient_is_not_sealed_and_the_error_says_what_is_missing() {
    let world = World::new();
    let [key, _] = &world.keys;
    for rights in [
        String::new(),
        rights("other", "*", "*"),
        rights("*", "other", "*"),
        rights("*", "*", "other/*"),
        format!("{RIGHTS}state = \"staged\"\n"),
        format!("{RIGHTS}sign_until = \"2001-01-01T00:00:00Z\"\n"),
        format!("{RIGHTS}use_from = \"2999-01-01T00:00:00Z\"\n"),
    ] {
        let sealing = world.sealing(&[recipient(key, &rights)]);
        let Err(NotSealed::Recipient(missing)) = sealing.seal(&claims("me", 1), ContentType::JSON, b"{}")
        else {
            panic!("sealed with {rights}")
        };
        let names = (missing.kind, &*missing.issuer, &*missing.task_type, &*missing.audience);
        assert_eq!(names, (Kind::Task, "me", "t", "here/q"));
        assert!(missing.to_string().ends_with("for tasks by issuer me of type t for here/q"), "{missing}");
        assert!(missing.hint().contains("`use = \"task\"`") && missing.hint().contains("`recipient`"));
    }
    assert_eq!(world.chosen(&[recipient(key, RIGHTS)]), Some(key.kid()));
}

#[test]
fn recipient_of_results_is_not_chosen_for_a_task() {
    let world = World::new();
    let [key, _] = &world.keys;
    assert_eq!(world.chosen(&[entry(key, &format!("use = \"result\"\n{RIGHTS}"))]), None);
}

#[test]
fn recipient_with_the_latest_begin_then_the_lowest_kid_is_chosen() {
    let world = World::new();
    let [low, high] = &world.keys;
    let from = |time: &str| format!("{RIGHTS}use_from = \"{time}T00:00:00Z\"\n");
    let both = |first: &str, second: &str| world.chosen(&[recipient(low, first), recipient(high, second)]);
    assert_eq!(both(RIGHTS, RIGHTS), Some(low.kid()));
    assert_eq!(both(RIGHTS, &from("2001-01-01")), Some(high.kid()));
    assert_eq!(both(&from("2002-01-01"), &from("2001-01-01")), Some(low.kid()));
    assert_eq!(both(RIGHTS, &from("2999-01-01")), Some(low.kid()));
}

#[test]
fn draft_without_a_recipient_does_not_affect_the_others_of_its_batch() {
    let world = World::new();
    let [one, other] = &world.keys;
    let recipients = [recipient(one, &rights("one", "*", "*")), recipient(other, &rights("other", "*", "*"))];
    let sealing = world.sealing(&recipients);
    let all = [("one", 1), ("none", 2), ("other", 3), ("one", 4), ("other", 5)];
    let claims = all.map(|(issuer, id)| claims(issuer, id));
    let drafts: Vec<_> = claims.iter().map(|claims| Draft::new(claims, ContentType::JSON, b"{}")).collect();

    let envelopes = sealing.seal_batch(&drafts);

    let keyring = world.keyring(&recipients);
    let opens = |name: &str| {
        let keys = keyring.with_decryption_keys([world.folder.path(name)]).unwrap();
        let open = |envelope: &Vec<u8>| {
            let mut policy = Policy::for_tasks(Audience::new("here/q").unwrap());
            (policy.suites, policy.accept_batches) = (SuiteSet::NONE.with(Suite::Sp), true);
            let verified = Unverified::parse(envelope)?.verify(&keys, &policy, &mut clock())?;
            let (id, mut buffer) = (verified.claims().task_id, vec![0; verified.body_len()]);
            verified.danger_open_without_replay_guard(&mut keys.opening(), &mut buffer).map(|_| id)
        };
        envelopes.iter().map(|envelope| envelope.as_ref().ok().map(open)).collect::<Vec<_>>()
    };
    let id = |id| Some(Ok(TaskId::from_bytes([id; 16])));
    let cannot = || Some(Err(OpenError::Refused(Refusal::NoDecryptionKey)));
    let (first, second) =
        if one.kid() == key_in(&world, "a.key") { ("a.key", "b.key") } else { ("b.key", "a.key") };
    assert_eq!(opens(first), [id(1), None, cannot(), id(4), cannot()]);
    assert_eq!(opens(second), [cannot(), None, id(3), cannot(), id(5)]);
}

fn key_in(world: &World, name: &str) -> KeyId {
    SecretKey::read(&world.folder.path(name)).unwrap().kid()
}

#[test]
fn named_recipient_that_cannot_be_used_is_reported_with_its_kid_and_what_is_needed() {
    let world = World::new();
    let [key, other] = &world.keys;
    let field = FileError::new(Path::new("taskseal.toml"), "").at("[client]\nrecipient = 1\n", 9);
    let named = |kid| NamedRecipient::new(kid).in_field(field.clone());
    let entries = |more: &str| [recipient(key, more)];

    let error = world.fault(&entries(""), &named(key.kid()), Kind::Result);
    let text = error.to_string();
    assert!(text.starts_with("taskseal.toml:2:1: client.recipient: key "), "{text}");
    assert!(text.contains(&format!("key {} has `use = \"task\"`, not \"result\" in ", key.kid())), "{text}");
    assert_eq!(error.hint.as_deref(), Some("name a primary ECDH-ES key with `use = \"result\"`"));
    let error = world.fault(&entries("state = \"disabled\"\n"), &named(key.kid()), Kind::Task);
    assert!(error.message.contains(" is disabled in "), "{error}");
    let error = world.fault(&entries(""), &named(other.kid()), Kind::Task);
    assert!(error.message.starts_with(&format!("key {} is not in ", other.kid())), "{error}");
    let signer = world.keyring(&[]).known_kids().next().unwrap();
    let error = world.fault(&[], &named(signer), Kind::Task);
    assert!(error.message.starts_with("a recipient must be an ECDH-ES key, found ES256: key "), "{error}");
    // A program that names the kid has no field.
    let error = world.fault(&[], &NamedRecipient::new(key.kid()), Kind::Task);
    assert!(error.key.to_string().ends_with("keyset.toml"), "{error}");
}

#[test]
fn queue_and_types_have_a_recipient_if_some_issuer_of_them_has_one() {
    let world = World::new();
    let [key, _] = &world.keys;
    let has = |rights: &str, types: &str, audience: &str| {
        world.keyring(&[recipient(key, rights)]).has_recipient_for(Kind::Task, NameSet::new(types), audience)
    };
    assert!(!has("", "t", "here/q"));
    assert!(!has(&rights("me", "t", "here/q"), "t", "here/other"));
    assert!(!has(&rights("me", "t", "here/q"), "u*", "here/q"));
    assert!(!has(&rights("me", "t:*", "here/q"), "t", "here/q"));
    assert!(has(&rights("me", "t", "here/*"), "u t*", "here/q"));
    assert!(has(&rights("me", "t:*", "here/q"), "t:a", "here/q"));
    assert!(has(&rights("me", "t:a:*", "here/q"), "t:*", "here/q"));
    assert!(has(&rights("me", "*", "*"), "t:*", "here/q"));
}
