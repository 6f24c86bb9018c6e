use std::thread;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::queue::QueueName;
use crate::time::UnixMillis;

fn fresh(limits: Limits) -> (TempDir, Quarantine) {
    let folder = TempDir::new().unwrap();
    let quarantine = Quarantine::open(&folder.path().join("quarantine.db"), limits).unwrap();
    (folder, quarantine)
}

fn refused(id: &str, code: &str) -> NewEntry {
    NewEntry {
        queue: QueueName::parse("mail").unwrap(),
        task_id: id.to_owned(),
        code: code.to_owned(),
        detail: "the signature does not verify".to_owned(),
        kid: Some([1, 2, 3, 4, 5, 6, 7, 8]),
        kid_known: false,
        unverified_type: Some("email:deliver".to_owned()),
        unverified_issuer: None,
        digest: [7; 32],
        payload: b"the whole payload".as_slice().into(),
        disposition: Disposition::Held,
        seen_at: UnixMillis(1000),
    }
}

fn hold(quarantine: &Quarantine, entry: NewEntry) -> Held {
    let held = quarantine.hold(&[entry]).unwrap().held;
    assert_eq!(held.len(), 1);
    held[0]
}

fn new(id: i64) -> Held {
    Held::New { id: EntryId(id) }
}

/// Returns a replay of an authentic task.
fn replayed(id: &str, kid: u8) -> NewEntry {
    NewEntry { kid: Some([kid; 8]), kid_known: true, ..refused(id, "replayed") }
}

fn ids(quarantine: &Quarantine, code: &str) -> Vec<String> {
    let filter = Filter { code: Some(code.to_owned()), ..Filter::default() };
    let entries = quarantine.list(&filter, 0, usize::MAX).unwrap();
    entries.into_iter().map(|entry| entry.task_id).collect()
}

#[test]
fn unproven_tasks_evict_only_one_another_and_never_evidence_of_a_sender() {
    let (_folder, quarantine) = fresh(Limits { entries: 10, ..Limits::default() });
    for id in ["early", "earlier"] {
        hold(&quarantine, replayed(id, 1));
    }

    for number in 0..30 {
        let code = if number % 3 == 0 { "malformed" } else { "unknown-key" };
        assert_eq!(hold(&quarantine, refused(&number.to_string(), code)), new(number + 3));
    }
    let held = hold(&quarantine, replayed("late", 2));

    assert_eq!(held, new(33));
    assert_eq!(ids(&quarantine, "replayed"), ["early", "earlier", "late"]);
    assert_eq!(quarantine.usage().unwrap().entries, 5 + 3);
    let evicted: u64 = quarantine.evicted().unwrap().iter().map(|(_, count)| count).sum();
    assert_eq!(evicted, 25);
}

#[test]
fn task_without_a_proven_sender_is_refused_when_only_evidence_is_left_to_evict() {
    let (_folder, quarantine) = fresh(Limits { entries: 2, ..Limits::default() });
    hold(&quarantine, replayed("1", 1));
    hold(&quarantine, replayed("2", 1));

    assert_eq!(hold(&quarantine, refused("3", "replayed")), Held::Full);
    assert_eq!(hold(&quarantine, NewEntry { kid_known: true, ..refused("4", "rejected") }), Held::Full);
    assert_eq!(ids(&quarantine, "replayed"), ["1", "2"]);
}

#[test]
fn oldest_entry_of_the_noisiest_sender_is_evicted() {
    let (_folder, quarantine) = fresh(Limits { entries: 4, ..Limits::default() });
    for (id, kid) in [("quiet", 1), ("1", 2), ("2", 2), ("3", 2)] {
        hold(&quarantine, replayed(id, kid));
    }

    assert_eq!(hold(&quarantine, replayed("other", 3)), new(5));

    assert_eq!(ids(&quarantine, "replayed"), ["quiet", "2", "3", "other"]);
    assert_eq!(quarantine.evicted().unwrap(), [("replayed".to_owned(), 1)]);
}

#[test]
fn bytes_are_bounded_and_given_back() {
    let size = |entry: &NewEntry| {
        let (_folder, quarantine) = fresh(Limits::default());
        hold(&quarantine, entry.clone());
        quarantine.usage().unwrap().bytes
    };
    let entry = refused("1", "rejected");
    let texts = ["mail", "1", "rejected", "the signature does not verify", "email:deliver"];
    let expected = texts.iter().map(|text| text.len()).sum::<usize>() + entry.payload.len();
    assert_eq!(size(&entry), expected as u64);

    let (_folder, quarantine) = fresh(Limits { bytes: 2 * size(&entry), ..Limits::default() });
    let longer = NewEntry { payload: vec![0; entry.payload.len() + 1].into(), ..entry.clone() };
    assert_eq!(hold(&quarantine, longer), Held::Full);
    assert_eq!(hold(&quarantine, entry), new(1));
    assert_eq!(hold(&quarantine, refused("2", "rejected")), new(2));
    assert_eq!(ids(&quarantine, "rejected"), ["2"]);

    assert_eq!(quarantine.remove(&[EntryId(1), EntryId(2)]).unwrap(), [false, true]);
    assert_eq!(quarantine.usage().unwrap(), Usage::default());
}

#[test]
fn too_long_payload_or_id_is_left_in_the_queue() {
    let (_folder, quarantine) = fresh(Limits::default());
    let long_id = refused(&"x".repeat(MAX_TASK_ID_LEN + 1), "rejected");
    let long_payload = NewEntry { payload: vec![0; MAX_PAYLOAD_LEN + 1].into(), ..refused("1", "rejected") };

    assert_eq!(quarantine.hold(&[long_id, long_payload]).unwrap().held, [Held::TooLong; 2]);

    let longest = NewEntry {
        payload: vec![9; MAX_PAYLOAD_LEN].into(),
        ..refused(&"x".repeat(MAX_TASK_ID_LEN), "rejected")
    };
    assert_eq!(hold(&quarantine, longest.clone()), new(1));
    let (_, payload) = quarantine.find(EntryId(1)).unwrap().unwrap();
    assert_eq!(payload, longest.payload);
}

#[test]
fn long_text_is_cut_at_a_character() {
    let (_folder, quarantine) = fresh(Limits::default());
    let detail = format!("{}é tail", "a".repeat(MAX_TEXT_LEN - 1));

    hold(&quarantine, NewEntry { detail, ..refused("1", "rejected") });

    let (entry, _) = quarantine.find(EntryId(1)).unwrap().unwrap();
    assert_eq!(entry.detail, "a".repeat(MAX_TEXT_LEN - 1));
}

#[test]
fn repeated_refusal_is_counted_and_keeps_its_first_payload() {
    let (_folder, quarantine) = fresh(Limits::default());
    hold(&quarantine, refused("1", "not-yet-valid"));
    let later = NewEntry {
        detail: "valid from tomorrow".to_owned(),
        kid_known: true,
        payload: b"another".as_slice().into(),
        disposition: Disposition::Rescheduled,
        seen_at: UnixMillis(5000),
        ..refused("1", "not-yet-valid")
    };
    let stale = NewEntry { seen_at: UnixMillis(3000), ..later.clone() };

    let held = quarantine.hold(&[later, stale]).unwrap().held;

    let id = EntryId(1);
    assert_eq!(held, [Held::Again { id, count: 2 }, Held::Again { id, count: 3 }]);
    let (entry, payload) = quarantine.find(id).unwrap().unwrap();
    let expected = Entry {
        id,
        queue: "mail".to_owned(),
        task_id: "1".to_owned(),
        code: "not-yet-valid".to_owned(),
        detail: "valid from tomorrow".to_owned(),
        kid: Some([1, 2, 3, 4, 5, 6, 7, 8]),
        kid_known: true,
        unverified_type: Some("email:deliver".to_owned()),
        unverified_issuer: None,
        digest: [7; 32],
        disposition: Disposition::Rescheduled,
        count: 3,
        first_seen_at: UnixMillis(1000),
        last_seen_at: UnixMillis(5000),
        payload_len: 17,
    };
    assert_eq!(entry, expected);
    assert_eq!(payload, b"the whole payload");
}

#[test]
fn other_queue_id_code_or_payload_is_another_entry() {
    let (_folder, quarantine) = fresh(Limits::default());
    let first = refused("1", "rejected");
    let others = [
        first.clone(),
        NewEntry { queue: QueueName::parse("bulk").unwrap(), ..first.clone() },
        NewEntry { task_id: "2".to_owned(), ..first.clone() },
        NewEntry { code: "expired".to_owned(), ..first.clone() },
        NewEntry { digest: [8; 32], ..first },
    ];

    assert_eq!(quarantine.hold(&others).unwrap().held, [new(1), new(2), new(3), new(4), new(5)]);
}

#[test]
fn text_from_the_wire_is_kept_as_it_came() {
    let (_folder, quarantine) = fresh(Limits::default());
    let hostile = "'); DROP TABLE entry;--\u{1b}[2J\0\u{202e}";
    let entry = NewEntry {
        unverified_type: Some(hostile.to_owned()),
        unverified_issuer: Some(hostile.to_owned()),
        ..refused(hostile, hostile)
    };

    hold(&quarantine, entry);

    let filter = Filter { code: Some(hostile.to_owned()), ..Filter::default() };
    let listed = quarantine.list(&filter, 0, 10).unwrap();
    assert_eq!(listed.len(), 1);
    let Entry { task_id, code, unverified_type, unverified_issuer, .. } = &listed[0];
    assert_eq!((task_id.as_str(), code.as_str()), (hostile, hostile));
    assert_eq!((unverified_type.as_deref(), unverified_issuer.as_deref()), (Some(hostile), Some(hostile)));
}

#[test]
fn list_pages_and_filters_and_counts_by_code() {
    let (_folder, quarantine) = fresh(Limits::default());
    let bulk = NewEntry { queue: QueueName::parse("bulk").unwrap(), ..refused("4", "expired") };
    quarantine
        .hold(&[refused("1", "rejected"), refused("2", "expired"), refused("3", "rejected"), bulk])
        .unwrap();
    let ids = |code: Option<&str>, queue: Option<&str>, offset, limit| {
        let filter = Filter {
            code: code.map(str::to_owned),
            queue: queue.map(|name| QueueName::parse(name).unwrap()),
            ..Filter::default()
        };
        let listed = quarantine.list(&filter, offset, limit).unwrap();
        listed.iter().map(|entry| entry.id.0).collect::<Vec<_>>()
    };

    assert_eq!(ids(None, None, 0, 3), [1, 2, 3]);
    assert_eq!(ids(None, None, 3, 3), [4]);
    assert_eq!(ids(Some("rejected"), None, 0, 9), [1, 3]);
    assert_eq!(ids(Some("expired"), Some("bulk"), 0, 9), [4]);
    assert!(ids(Some("unknown"), None, 0, usize::MAX).is_empty());
    let counts = quarantine.counts().unwrap();
    assert_eq!(counts, [("expired".to_owned(), 2), ("rejected".to_owned(), 2)]);
}

#[test]
fn filter_selects_by_key_type_issuer_time_and_disposition() {
    let (_folder, quarantine) = fresh(Limits::default());
    let other = NewEntry {
        kid: Some([9; 8]),
        unverified_type: Some("email:digest".to_owned()),
        unverified_issuer: Some("web".to_owned()),
        disposition: Disposition::Archived,
        seen_at: UnixMillis(2000),
        ..refused("2", "expired")
    };
    let unread = NewEntry { kid: None, unverified_type: None, ..refused("3", "unsealed") };
    quarantine.hold(&[refused("1", "expired"), other, unread]).unwrap();
    let ids = |filter: Filter| -> Vec<i64> {
        quarantine.ids(&filter).unwrap().into_iter().map(|id| id.0).collect()
    };
    let text = |text: &str| Some(text.to_owned());
    let all = Filter::default;

    assert_eq!(ids(all()), [1, 2, 3]);
    assert_eq!(ids(Filter { kid: Some([9; 8]), ..all() }), [2]);
    assert_eq!(ids(Filter { task_type: text("email:deliver"), ..all() }), [1]);
    assert_eq!(ids(Filter { task_type: text("email:*"), ..all() }), [1, 2]);
    assert!(ids(Filter { task_type: text("email"), ..all() }).is_empty());
    assert_eq!(ids(Filter { issuer: text("web"), ..all() }), [2]);
    assert_eq!(ids(Filter { disposition: Some(Disposition::Held), ..all() }), [1, 3]);
    assert_eq!(ids(Filter { seen_until: Some(UnixMillis(1000)), ..all() }), [1, 3]);
    assert_eq!(ids(Filter { seen_from: Some(UnixMillis(1001)), ..all() }), [2]);
    assert_eq!(ids(Filter { code: text("expired"), seen_until: Some(UnixMillis(1000)), ..all() }), [1]);
}

#[test]
fn released_entry_is_removed_when_its_task_is_accepted_and_no_other() {
    let (_folder, quarantine) = fresh(Limits::default());
    let of = |id: &str, envelope: &'static [u8]| NewEntry {
        digest: Sha256::digest(envelope).into(),
        payload: envelope.into(),
        ..refused(id, "expired")
    };
    quarantine.hold(&[of("1", b"one"), of("2", b"two"), of("3", b"three")]).unwrap();
    let queue = QueueName::parse("mail").unwrap();
    let accept =
        |queue: &QueueName, envelope: &'static [u8]| quarantine.accept(queue, &[envelope.into()]).unwrap();
    let release = |id| quarantine.set_disposition(EntryId(id), None, Disposition::Released).unwrap();

    assert_eq!(accept(&queue, b"one"), 0);
    assert!(release(1) && release(2) && !release(9));
    assert_eq!(accept(&QueueName::parse("bulk").unwrap(), b"one"), 0);
    assert_eq!(accept(&queue, b"three"), 0);
    assert_eq!(accept(&queue, b"one"), 1);

    assert_eq!(quarantine.ids(&Filter::default()).unwrap(), [EntryId(2), EntryId(3)]);
    let usage = quarantine.usage().unwrap();
    assert_eq!(quarantine.remove(&[EntryId(2), EntryId(3)]).unwrap(), [true, true]);
    assert!(usage.entries == 2 && quarantine.usage().unwrap() == Usage::default());
}

#[test]
fn released_entry_is_replaced_when_its_task_is_refused_again() {
    let (_folder, quarantine) = fresh(Limits::default());
    let archived = |code| NewEntry { disposition: Disposition::Archived, ..refused("1", code) };
    hold(&quarantine, archived("expired"));
    let release = |id| quarantine.set_disposition(EntryId(id), None, Disposition::Released).unwrap();
    let state = |id| quarantine.find(EntryId(id)).unwrap().map(|(entry, _)| entry.disposition);

    assert!(release(1));
    assert_eq!(hold(&quarantine, archived("expired")), Held::Again { id: EntryId(1), count: 2 });
    assert_eq!(state(1), Some(Disposition::Archived));
    assert!(release(1));
    assert_eq!(hold(&quarantine, archived("replayed")), new(2));

    assert_eq!((state(1), state(2)), (None, Some(Disposition::Archived)));
    assert_eq!(quarantine.usage().unwrap().entries, 1);
}

#[test]
fn disposition_is_restored_only_if_it_is_unchanged() {
    let (_folder, quarantine) = fresh(Limits::default());
    hold(&quarantine, refused("1", "expired"));
    let set = |from, to| quarantine.set_disposition(EntryId(1), Some(from), to).unwrap();

    assert!(!set(Disposition::Released, Disposition::Archived));
    assert!(set(Disposition::Held, Disposition::Released));
    assert!(set(Disposition::Released, Disposition::Held));
}

#[test]
fn entry_is_removed_for_one_caller_only_and_its_number_stays_free() {
    let (_folder, quarantine) = fresh(Limits::default());
    hold(&quarantine, refused("1", "rejected"));

    let twice = [EntryId(1), EntryId(1), EntryId(99)];
    assert_eq!(quarantine.remove(&twice).unwrap(), [true, false, false]);

    assert_eq!(quarantine.find(EntryId(1)).unwrap(), None);
    assert_eq!(hold(&quarantine, refused("1", "rejected")), new(2));
}

#[test]
fn entries_survive_a_reopening_and_two_handles_never_overfill() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("quarantine.db");
    let limits = Limits { entries: 200, ..Limits::default() };

    let kept: usize = thread::scope(|scope| {
        let holders: Vec<_> = (0..4)
            .map(|holder| {
                let path = &path;
                scope.spawn(move || {
                    let quarantine = Quarantine::open(path, limits).unwrap();
                    let held = (0..50).map(|id| hold(&quarantine, refused(&format!("{holder}-{id}"), "x")));
                    held.filter(|held| matches!(held, Held::New { .. })).count()
                })
            })
            .collect();
        holders.into_iter().map(|holder| holder.join().unwrap()).sum()
    });

    assert_eq!(kept, 200);
    let reopened = Quarantine::open(&path, limits).unwrap();
    assert_eq!(reopened.list(&Filter::default(), 0, 1000).unwrap().len(), 100);
    assert_eq!(reopened.usage().unwrap().entries, 100);
}

#[test]
fn file_of_another_kind_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    crate::replay::SqliteLedger::open(&path).unwrap();

    let opened = Quarantine::open(&path, Limits::default());

    assert!(matches!(opened, Err(StateError::Unusable { .. })));
}
