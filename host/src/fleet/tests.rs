use taskseal_core::{KeyId, Kind, Suite};

use super::*;
use crate::keys::testing::{Folder, entry};
use crate::keys::{Algorithm, SealingKey, SealingSource};
use crate::time::unix_seconds;

const DEPLOYMENT: &str = "here";

/// A keyset with a key of a worker and one of a producer, each with rights for one type only.
struct Fleet {
    folder: Folder,
    keyring: Keyring,
}

impl Fleet {
    fn new() -> Self {
        let folder = Folder::new();
        let rights =
            |issuer: &str| format!("issuers = [\"{issuer}\"]\ntypes = [\"a\"]\naudiences = [\"here/a\"]\n");
        let worker = folder.key("worker.key", Algorithm::Es256);
        let producer = folder.key("producer.key", Algorithm::Es256);
        let text = entry(&worker, &format!("use = \"result\"\n{}", rights("worker-*")))
            + &entry(&producer, &format!("use = \"task\"\n{}", rights("shop")));
        let keyring = folder.keyset(&text);
        Self { folder, keyring }
    }

    fn key(&self, file: &str, kind: Kind) -> SealingKey {
        let source = SealingSource::new(Suite::S, self.folder.path(file));
        self.keyring.sealing_key(&source, kind).unwrap()
    }

    fn status(&self, role: Role, id: &str) -> ProcessStatus {
        let policy = "aa".to_owned();
        ProcessStatus { policy, ..ProcessStatus::of_this_process(role, id, 1, &self.keyring) }
    }

    fn unproven(&self, envelope: &[u8]) -> (Option<KeyId>, String) {
        let Unproven { kid, reason } = open(envelope, &self.keyring, DEPLOYMENT).unwrap_err();
        (kid, reason)
    }
}

#[test]
fn status_signed_for_another_name_deployment_or_role_proves_nothing() {
    let fleet = Fleet::new();
    let (worker, producer) = (fleet.key("worker.key", Kind::Result), fleet.key("producer.key", Kind::Task));
    let refused = |status: &ProcessStatus, deployment: &str, key: &SealingKey| {
        let (kid, reason) =
            fleet.unproven(&seal(status, deployment, keep(Duration::from_secs(10)), key).unwrap());
        assert_eq!(kid, Some(key.kid()));
        reason
    };

    let shop = fleet.status(Role::Worker, "shop");
    assert_eq!(refused(&shop, DEPLOYMENT, &worker), "issuer-not-allowed");
    let good = fleet.status(Role::Worker, "worker-1");
    assert_eq!(refused(&good, "elsewhere", &worker), "wrong-audience");
    let wrong_role = ProcessStatus { role: Role::Producer, ..good };
    assert!(refused(&wrong_role, DEPLOYMENT, &worker).contains("another process"));
    assert!(refused(&shop, DEPLOYMENT, &producer).contains("another process"));
}

#[test]
fn changed_expired_and_foreign_status_proves_nothing() {
    let fleet = Fleet::new();
    let key = fleet.key("worker.key", Kind::Result);
    let status = fleet.status(Role::Worker, "worker-1");
    let sealed = seal(&status, DEPLOYMENT, keep(Duration::from_secs(10)), &key).unwrap();

    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(fleet.unproven(&changed).1, "rejected");
    assert_eq!(fleet.unproven(b"{}"), (None, "not an envelope".to_owned()));
    let old = ProcessStatus { at: unix_seconds() - 3600, ..status.clone() };
    assert_eq!(
        fleet.unproven(&seal(&old, DEPLOYMENT, keep(Duration::from_secs(10)), &key).unwrap()).1,
        "expired"
    );
    let empty = fleet.folder.keyset("");
    assert_eq!(open(&sealed, &empty, DEPLOYMENT).unwrap_err().reason, "unknown-key");
}

#[test]
fn status_is_opened_whatever_types_and_audiences_its_key_has() {
    let fleet = Fleet::new();
    for (role, id, file, kind) in [
        (Role::Worker, "worker-1", "worker.key", Kind::Result),
        (Role::Producer, "shop", "producer.key", Kind::Task),
    ] {
        let (key, status) = (fleet.key(file, kind), fleet.status(role, id));
        let sealed = seal(&status, DEPLOYMENT, keep(Duration::from_secs(10)), &key).unwrap();
        assert!(sealed.len() < crate::broker::status::MAX_STATUS / 4, "{}", sealed.len());

        let member = open(&sealed, &fleet.keyring, DEPLOYMENT).unwrap();

        assert_eq!(member, Member { status, kid: key.kid() });
    }
}

#[test]
fn status_of_another_version_proves_nothing_whatever_else_it_states() {
    let fleet = Fleet::new();
    let key = fleet.key("worker.key", Kind::Result);
    for v in [0, 2] {
        let status = ProcessStatus { v, ..fleet.status(Role::Worker, "worker-1") };
        let sealed = seal(&status, DEPLOYMENT, keep(Duration::from_secs(10)), &key).unwrap();
        assert_eq!(fleet.unproven(&sealed).1, format!("it has version {v} of the format, expected 1"));
    }
}

#[test]
fn expiry_that_no_signature_covers_is_not_the_reason() {
    let fleet = Fleet::new();
    let key = fleet.key("worker.key", Kind::Result);
    let old = ProcessStatus { at: unix_seconds() - 3600, ..fleet.status(Role::Worker, "worker-1") };
    let mut changed = seal(&old, DEPLOYMENT, keep(Duration::from_secs(10)), &key).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(fleet.unproven(&changed).1, "rejected");
}

#[test]
fn copies_of_a_status_are_verified_once_a_minute_and_listed_once() {
    let fleet = Fleet::new();
    let key = fleet.key("worker.key", Kind::Result);
    let now = unix_seconds();
    let sealed = |at: u64| {
        let status = ProcessStatus { at, ..fleet.status(Role::Worker, "worker-1") };
        seal(&status, DEPLOYMENT, Duration::from_secs(100), &key).unwrap()
    };
    let mut garbage = sealed(now);
    *garbage.last_mut().unwrap() ^= 1;
    let mut statuses = vec![sealed(now - 1), garbage];
    statuses.extend(vec![sealed(now); 4094]);
    let mut reader = StatusReader::default();
    let mut read = |keyring: &Keyring, now| reader_state(&mut reader, &statuses, keyring, now);

    // The older status of the process is not listed.
    assert_eq!(read(&fleet.keyring, now), (vec![Ok(now), Err("rejected".to_owned())], 3));
    assert_eq!(read(&fleet.keyring, now + 59), (vec![Ok(now), Err("rejected".to_owned())], 0));
    // It expires without a verification, too.
    assert_eq!(read(&fleet.keyring, now + 60).1, 3);
    assert_eq!(read(&fleet.keyring, now + 119).0.first(), Some(&Err("expired".to_owned())));
    // Other keys.
    let empty = fleet.folder.keyset("");
    assert_eq!(read(&empty, now + 119), (vec![Err("unknown-key".to_owned()); 3], 3));
}

/// Reads statuses and returns the time of each, or why it proves nothing, and how many of them were verified.
fn reader_state(
    reader: &mut StatusReader,
    statuses: &[Vec<u8>],
    keyring: &Keyring,
    now: u64,
) -> (Vec<Result<u64, String>>, usize) {
    let found = reader.read(statuses, keyring, DEPLOYMENT, now);
    let found = found.into_iter().map(|found| match found {
        Ok(member) => Ok(member.status.at),
        Err(unproven) => Err(unproven.reason),
    });
    (found.collect(), reader.verified_since(now))
}

#[test]
fn processes_differ_in_what_their_statuses_state() {
    let fleet = Fleet::new();
    let own = ProcessStatus { sequence: Some(7), ..fleet.status(Role::Worker, "worker-1") };
    let subjects = |change: &dyn Fn(&mut ProcessStatus)| -> Vec<Subject> {
        let mut status = ProcessStatus { id: "worker-2".to_owned(), ..own.clone() };
        change(&mut status);
        let member = Member { status, kid: KeyId::from_bytes([0; 8]) };
        differences(&own, [&member]).into_iter().map(|difference| difference.subject).collect()
    };

    assert_eq!(subjects(&|_| ()), []);
    assert_eq!(subjects(&|other| other.sequence = Some(8)), [Subject::NewerKeyset { own: 7, other: 8 }]);
    assert_eq!(subjects(&|other| other.sequence = Some(6)), [Subject::OlderKeyset { own: 7, other: 6 }]);
    assert_eq!(subjects(&|other| other.keyset = "other".to_owned()), [Subject::Keyset]);
    assert_eq!(subjects(&|other| other.policy = "other".to_owned()), [Subject::Policy]);
    assert_eq!(
        subjects(&|other| drop(other.modes.insert("a".to_owned(), "observe".to_owned()))),
        [Subject::Modes]
    );
    // A producer has no policy for tasks.
    let producer = |other: &mut ProcessStatus| (other.role, other.policy) = (Role::Producer, String::new());
    assert_eq!(subjects(&producer), []);
    // Itself.
    assert_eq!(
        subjects(&|other| {
            other.id = own.id.clone();
            other.policy = String::new();
        }),
        []
    );
}

#[test]
fn differences_of_workers_come_before_those_of_any_number_of_producers() {
    let fleet = Fleet::new();
    let own = ProcessStatus { sequence: Some(7), ..fleet.status(Role::Worker, "worker-1") };
    let member = |status| Member { status, kid: KeyId::from_bytes([0; 8]) };
    let producer = |pid| ProcessStatus { sequence: Some(8), pid, ..fleet.status(Role::Producer, "shop") };
    let worker = ProcessStatus { policy: "other".to_owned(), id: "worker-2".to_owned(), ..own.clone() };
    let members: Vec<Member> = (1..=100).map(producer).chain([worker]).map(member).collect();
    let found = differences(&own, &members);
    assert_eq!((found.len(), &found[0].subject), (101, &Subject::Policy));
}

#[test]
fn fleet_disagrees_where_processes_have_different_values() {
    let fleet = Fleet::new();
    let worker = fleet.status(Role::Worker, "worker-1");
    let member = |status: ProcessStatus| Member { status, kid: KeyId::from_bytes([0; 8]) };
    let producer = ProcessStatus { policy: String::new(), ..fleet.status(Role::Producer, "shop") };
    let same = [member(worker.clone()), member(worker.clone()), member(producer)];
    assert_eq!(disagreements(&same.iter().collect::<Vec<_>>()), [""; 0]);

    let policy = member(ProcessStatus { policy: "other".to_owned(), ..worker.clone() });
    let keyset = member(ProcessStatus { sequence: Some(2), ..worker });
    let all: Vec<_> = same.iter().chain([&policy, &keyset]).collect();
    assert_eq!(disagreements(&all), ["keyset", "policy"]);
}

#[test]
fn fingerprint_of_a_keyset_depends_on_what_entries_say_and_on_no_order_or_label() {
    let folder = Folder::new();
    let [one, other] = ["a.key", "b.key"].map(|name| folder.key(name, Algorithm::Es256));
    let rights = "issuers = [\"me\"]\ntypes = [\"*\"]\naudiences = [\"here/*\"]\n";
    let entry_of = |key, more: &str| entry(key, &format!("use = \"task\"\n{more}{rights}"));
    let print = |text: String| folder.keyset(&text).fingerprint();

    let usual = print(entry_of(&one, "") + &entry_of(&other, ""));

    assert_eq!(usual.len(), 16);
    assert_eq!(print(entry_of(&other, "label = \"x\"\n") + &entry_of(&one, "")), usual);
    for more in [
        "state = \"staged\"\n",
        "sign_until = \"2999-01-01T00:00:00Z\"\n",
        "accept_until = \"2999-01-01T00:00:00Z\"\n",
    ] {
        assert_ne!(print(entry_of(&one, more) + &entry_of(&other, "")), usual, "{more}");
    }
    assert_ne!(print(entry_of(&one, "").replace("[\"me\"]", "[\"you\"]") + &entry_of(&other, "")), usual);
    assert_ne!(print(entry_of(&one, "")), usual);
}
