//! The archive of a queue: its bounds, its age, and keys of another type beside it.

use redis::cmd;
use taskseal::broker::{Broker, Settlement};

use super::{Fixture, key, unix_now};

#[tokio::test]
async fn the_archive_is_kept_within_its_bounds_with_the_hashes_of_what_leaves_it() {
    let Some(it) = Fixture::with(&["new"]).await else { return };
    it.raw().archive_old(10_003, unix_now() - 1000.0);
    let task = it.dequeue(1).await.tasks.remove(0);
    it.settle(&task.lease, Settlement::Archive { reason: "refused".into() }).await;

    let tidied = it.broker.tidy(&it.queue, 1000).await.unwrap();

    let stats = it.broker.stats(&it.queue).await.unwrap();
    assert_eq!((tidied.trimmed, stats.archived, stats.trimmed), (4, 10_000, 4));
    let exists = |id: &str| cmd("EXISTS").arg(key(id)).query::<u8>(&mut it.server.raw()).unwrap();
    assert_eq!([exists("old4"), exists("old5"), exists("new")], [0, 1, 1]);
}

#[tokio::test]
async fn a_key_of_another_type_does_not_keep_the_other_tasks_of_the_queue_from_being_tidied() {
    let Some(it) = Fixture::with(&[]).await else { return };
    let mut raw = it.server.raw();
    for (foreign, expected) in [
        ("archived", [1, 1, 0]),
        ("completed", [0, 1, 1]),
        ("active", [1, 0, 1]),
        ("lease", [1, 0, 1]),
        ("taskseal:trimmed", [1, 1, 1]),
    ] {
        let () = cmd("FLUSHALL").query(&mut raw).unwrap();
        for set in ["completed", "archived"].into_iter().filter(|set| *set != foreign) {
            let () =
                cmd("ZADD").arg(format!("asynq:{{mail}}:{set}")).arg(1).arg(set).query(&mut raw).unwrap();
            let () = cmd("HSET").arg(key(set)).arg("state").arg(set).query(&mut raw).unwrap();
        }
        if foreign != "active" {
            let () = cmd("RPUSH").arg("asynq:{mail}:active").arg("stranded").query(&mut raw).unwrap();
        }
        let foreign_key = format!("asynq:{{mail}}:{foreign}");
        let () = cmd("HSET").arg(&foreign_key).arg("theirs").arg("kept").query(&mut raw).unwrap();

        let tidied = it.broker.tidy(&it.queue, 10).await.unwrap();

        assert_eq!([tidied.expired, tidied.repaired, tidied.trimmed], expected, "{foreign}");
        let kept: String = cmd("HGET").arg(foreign_key).arg("theirs").query(&mut raw).unwrap();
        assert_eq!(kept, "kept", "{foreign}");
    }
}

#[tokio::test]
async fn archived_tasks_leave_after_ninety_days_and_those_without_a_time_do_not() {
    let Some(it) = Fixture::with(&[]).await else { return };
    let now = unix_now();
    for (id, at) in [("ancient", now - 91.0 * 86400.0), ("old", now - 89.0 * 86400.0), ("undated", 0.0)] {
        let mut raw = it.server.raw();
        let () = cmd("ZADD").arg("asynq:{mail}:archived").arg(at).arg(id).query(&mut raw).unwrap();
        let () = cmd("HSET").arg(key(id)).arg("state").arg("archived").query(&mut raw).unwrap();
    }

    assert_eq!(it.broker.tidy(&it.queue, 100).await.unwrap().trimmed, 1);

    for (id, is_kept) in [("ancient", false), ("old", true), ("undated", true)] {
        let found = it.broker.find(&it.queue, id).await.unwrap();
        assert_eq!(found.is_some(), is_kept, "{id}");
        // No time is not the year 1970.
        assert_eq!(found.is_some_and(|info| info.at.is_some()), id == "old", "{id}");
    }
}

#[tokio::test]
async fn a_broken_counter_does_not_keep_tasks_in_the_archive() {
    let Some(it) = Fixture::with(&[]).await else { return };
    it.raw().archive_old(10_001, unix_now() - 1000.0);
    for (wrong, counted) in [("many", 0), ("7", 8)] {
        let counter = "asynq:{mail}:taskseal:trimmed";
        let () = cmd("SET").arg(counter).arg(wrong).query(&mut it.server.raw()).unwrap();
        it.raw().archive_old(1, unix_now() - 2000.0);

        assert_eq!(it.broker.tidy(&it.queue, 10).await.unwrap().trimmed, 1);
        assert_eq!(it.broker.stats(&it.queue).await.unwrap().trimmed, counted);
    }
}
