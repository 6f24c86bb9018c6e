use super::*;

fn open(folder: &tempfile::TempDir) -> Rollout {
    Rollout::open(&folder.path().join("rollout.db")).unwrap()
}

fn modes(modes: &[(&str, Mode)]) -> Vec<(String, Mode)> {
    modes.iter().map(|(pattern, mode)| ((*pattern).to_owned(), *mode)).collect()
}

fn queue(name: &str) -> QueueName {
    QueueName::parse(name).unwrap()
}

#[test]
fn looser_mode_of_a_type_or_of_a_part_of_its_types_is_refused_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let adopt = |wanted: &[(&str, Mode)]| open(&folder).adopt(&modes(wanted)).unwrap();
    assert_eq!(adopt(&[("email:*", Mode::Prefer), ("email:send", Mode::Off)]), []);
    let loosened = |pattern: &str, mode| {
        let found = adopt(&[(pattern, mode)]);
        found.first().map(|found| (found.recorded_pattern.clone(), found.strictest))
    };
    let by_email = Some(("email:*".to_owned(), Mode::Prefer));
    assert_eq!(loosened("email:*", Mode::Observe), by_email);
    assert_eq!(loosened("email:receive", Mode::Observe), by_email);
    assert_eq!(loosened("email:re*", Mode::Off), by_email);
    // It has a separate record.
    assert_eq!(loosened("email:send", Mode::Off), None);
    assert_eq!(loosened("email:send", Mode::Enforce), None);
    assert_eq!(loosened("email:send", Mode::Prefer), Some(("email:send".to_owned(), Mode::Enforce)));
    assert_eq!(loosened("invoice", Mode::Off), None);
}

#[test]
fn wider_pattern_does_not_loosen_a_recorded_type() {
    let folder = tempfile::tempdir().unwrap();
    let rollout = open(&folder);
    rollout.adopt(&modes(&[("email:send", Mode::Enforce), ("invoice", Mode::Off)])).unwrap();
    for pattern in ["email:*", "*"] {
        let found = rollout.adopt(&modes(&[(pattern, Mode::Observe)])).unwrap();
        let found: Vec<_> = found.iter().map(|one| (&*one.pattern, one.mode, one.strictest)).collect();
        assert_eq!(found, [("email:send", Mode::Observe, Mode::Enforce)], "{pattern}");
    }
    // The longest pattern that includes the type decides, and a mode of the type itself before it.
    let found = rollout.adopt(&modes(&[("*", Mode::Enforce), ("email:*", Mode::Observe)])).unwrap();
    assert_eq!(found.len(), 1);
    let narrower = modes(&[("*", Mode::Observe), ("email:*", Mode::Enforce)]);
    assert_eq!(open(&tempfile::tempdir().unwrap()).adopt(&narrower).unwrap(), []);
    assert_eq!(rollout.adopt(&narrower).unwrap(), []);
    assert_eq!(rollout.adopt(&modes(&[("email:*", Mode::Enforce)])).unwrap(), []);
    rollout.loosen("email:send").unwrap();
    rollout.loosen("email:*").unwrap();
    assert_eq!(rollout.adopt(&modes(&[("email:*", Mode::Observe)])).unwrap(), []);
}

#[test]
fn looser_mode_beside_a_stricter_one_records_neither() {
    let folder = tempfile::tempdir().unwrap();
    let rollout = open(&folder);
    assert_eq!(rollout.adopt(&modes(&[("a", Mode::Enforce), ("b", Mode::Off)])).unwrap(), []);
    let found = rollout.adopt(&modes(&[("a", Mode::Observe), ("b", Mode::Enforce)])).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(rollout.adopt(&modes(&[("a", Mode::Enforce), ("b", Mode::Observe)])).unwrap(), []);
}

#[test]
fn loosening_a_type_keeps_the_patterns_that_include_it() {
    let folder = tempfile::tempdir().unwrap();
    let rollout = open(&folder);
    rollout.adopt(&modes(&[("email:*", Mode::Enforce)])).unwrap();
    let was = rollout.loosen("email:send").unwrap();
    assert_eq!(was, modes(&[("email:*", Mode::Enforce)]));
    let fresh = open(&folder);
    assert_eq!(fresh.adopt(&modes(&[("email:send", Mode::Observe)])).unwrap(), []);
    assert_eq!(fresh.adopt(&modes(&[("email:*", Mode::Observe)])).unwrap().len(), 1);
}

#[test]
fn loosened_mode_is_not_recorded_again_by_a_process_that_still_runs() {
    let folder = tempfile::tempdir().unwrap();
    let running = open(&folder);
    running.adopt(&modes(&[("a", Mode::Enforce), ("b", Mode::Observe)])).unwrap();
    open(&folder).loosen("a").unwrap();
    running.tighten(modes(&[("a", Mode::Enforce), ("b", Mode::Observe)])).unwrap();
    assert_eq!(open(&folder).adopt(&modes(&[("a", Mode::Observe)])).unwrap(), []);
    assert_eq!(running.effective("a", Mode::Observe), Mode::Enforce);
    // A mode that became stricter while the process runs is recorded.
    running.tighten(modes(&[("a", Mode::Enforce), ("b", Mode::Enforce)])).unwrap();
    assert_eq!(open(&folder).adopt(&modes(&[("b", Mode::Prefer)])).unwrap().len(), 1);
    assert_eq!(open(&folder).adopt(&modes(&[("a", Mode::Observe)])).unwrap(), []);
}

#[test]
fn mode_that_a_process_has_used_is_not_loosened_while_it_runs() {
    let rollout = Rollout::default();
    assert_eq!(rollout.effective("a", Mode::Off), Mode::Off);
    rollout.adopt(&modes(&[("a", Mode::Prefer)])).unwrap();
    assert_eq!(rollout.effective("a", Mode::Off), Mode::Prefer);
    assert_eq!(rollout.effective("a", Mode::Enforce), Mode::Enforce);
}

#[test]
fn sealed_task_of_another_process_ends_the_unsealed_ones_of_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mail, earlier, later) = (queue("mail"), open(&folder), open(&folder));
    // The process that ran the first attempt has stored nothing.
    later.count_sealed(&mail, "a", SealForm::Sealed, 2, UnixMillis(1));
    later.flush().unwrap();
    assert!(!earlier.has_sealed(&mail, "a"));
    earlier.refresh().unwrap();
    assert!(earlier.has_sealed(&mail, "a") && open(&folder).has_sealed(&mail, "a"));
    assert_eq!(earlier.report().unwrap()[0].queues[0].sealed, 0);
}

#[test]
fn sealed_task_counts_for_its_types_under_every_pattern_of_a_rule() {
    let folder = tempfile::tempdir().unwrap();
    let (mail, rollout) = (queue("mail"), open(&folder));
    rollout.count_sealed(&mail, "email:*", SealForm::Sealed, 1, UnixMillis(1));
    rollout.count_sealed(&mail, "invoice", SealForm::Sealed, 1, UnixMillis(1));
    rollout.flush().unwrap();
    for rollout in [rollout, open(&folder)] {
        let seen = |task_type| rollout.has_sealed(&mail, task_type);
        assert!(!seen("invoice:pay") && !seen("email") && !seen("other"));
        assert!(!rollout.has_sealed(&queue("bulk"), "email:send"));
        assert!(seen("email:send") && seen("email:receive") && seen("invoice"));
    }
}

#[test]
fn signed_task_with_a_clear_body_ends_unsealed_tasks_like_a_sealed_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mail, rollout) = (queue("mail"), open(&folder));
    rollout.count_sealed(&mail, "a", SealForm::Detached, 1, UnixMillis(1));
    rollout.flush().unwrap();
    assert!(rollout.has_sealed(&mail, "a") && open(&folder).has_sealed(&mail, "a"));
}

#[test]
fn counts_of_several_processes_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mail, at) = (queue("mail"), UnixMillis);
    for time in [1, 2] {
        let rollout = open(&folder);
        assert_eq!(rollout.has_sealed(&mail, "a"), time == 2);
        rollout.count_sealed(&mail, "a", SealForm::Sealed, 1, at(time));
        rollout.count_sealed(&mail, "a", SealForm::Detached, 1, at(3 * time));
        rollout.count_unsealed(&mail, "a", &format!("id-{time}"), at(10 * time));
        rollout.count_refused("a", Refusal::Rejected, at(time));
        rollout.flush().unwrap();
        rollout.flush().unwrap();
        assert!(rollout.has_sealed(&mail, "a") && !rollout.has_sealed(&queue("bulk"), "a"));
    }
    let report = open(&folder).report().unwrap();
    let counts = QueueCounts {
        queue: "mail".to_owned(),
        sealed: 2,
        detached: 2,
        unsealed: 2,
        last_sealed_at: Some(at(2)),
        last_detached_at: Some(at(6)),
        last_unsealed_at: Some(at(20)),
        last_unsealed_id: Some("id-2".to_owned()),
    };
    let refused = RefusalCount { code: "rejected".to_owned(), count: 2, last_at: at(2) };
    let expected =
        TypeReport { pattern: "a".to_owned(), strictest: None, queues: vec![counts], refused: vec![refused] };
    assert_eq!(report, [expected]);
}

const FILES: [&str; 3] = ["rollout.db", "rollout.db-wal", "rollout.db-shm"];

/// Loses the record, but not its copy.
fn lose(folder: &tempfile::TempDir) {
    for file in FILES {
        let _ = std::fs::remove_file(folder.path().join(file));
    }
}

#[test]
fn sealed_task_is_remembered_although_the_record_is_lost_older_or_its_copy_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (mail, path) = (queue("mail"), folder.path().join("rollout.db"));
    open(&folder).adopt(&modes(&[("email:*", Mode::Prefer), ("invoice", Mode::Prefer)])).unwrap();
    let older = std::fs::read(&path).unwrap();
    for form in [SealForm::Sealed, SealForm::Detached] {
        let pattern = if form == SealForm::Sealed { "email:*" } else { "invoice" };
        let rollout = open(&folder);
        rollout.count_sealed(&mail, pattern, form, 1, UnixMillis(1));
        rollout.flush().unwrap();
    }
    let lose_copy = || std::fs::remove_file(folder.path().join("rollout-modes")).unwrap();
    let losses: [&dyn Fn(); 3] = [&|| lose(&folder), &lose_copy, &|| {
        lose(&folder);
        std::fs::write(&path, &older).unwrap();
    }];
    for loss in losses {
        loss();
        for rollout in [Rollout::open_existing(&path).unwrap(), open(&folder)] {
            assert!(rollout.has_sealed(&mail, "email:send") && rollout.has_sealed(&mail, "invoice"));
            assert!(!rollout.has_sealed(&queue("bulk"), "email:send") && !rollout.has_sealed(&mail, "other"));
        }
    }
    let report = open(&folder).report().unwrap();
    assert!(report.iter().all(|one| one.queues[0].sealed == 0 && one.queues[0].last_sealed_at.is_none()));
}

#[test]
fn record_that_is_lost_loosens_no_mode() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder).adopt(&modes(&[("email:*", Mode::Prefer), ("invoice", Mode::Observe)])).unwrap();
    open(&folder).tighten(modes(&[("invoice", Mode::Enforce)])).unwrap();
    for lost in [true, false] {
        if lost {
            lose(&folder);
        } else {
            std::fs::write(folder.path().join("rollout.db"), "").unwrap();
        }
        let found =
            open(&folder).adopt(&modes(&[("email:*", Mode::Off), ("invoice", Mode::Prefer)])).unwrap();
        let found: Vec<_> = found.into_iter().map(|one| (one.pattern, one.strictest)).collect();
        assert_eq!(found, modes(&[("email:*", Mode::Prefer), ("invoice", Mode::Enforce)]));
    }
}

#[test]
fn record_whose_copy_is_damaged_is_unusable_only_if_it_is_lost_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("rollout-modes");
    open(&folder).adopt(&modes(&[("email:*", Mode::Enforce)])).unwrap();
    let good = std::fs::read_to_string(&copy).unwrap();
    for damaged in ["", "taskseal modes 2\nend 0", &good[..good.len() - 1], &good.replace("enforce", "off ")]
    {
        std::fs::write(&copy, damaged).unwrap();
        drop(open(&folder));
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), good, "{damaged}");
    }
    std::fs::write(&copy, "").unwrap();
    lose(&folder);
    let path = folder.path().join("rollout.db");
    for error in [Rollout::open(&path).unwrap_err(), Rollout::open_existing(&path).unwrap_err()] {
        assert!(matches!(error, StateError::Unusable { .. }), "{error}");
    }
    assert!(!path.exists());
}

#[test]
fn older_record_loosens_no_mode() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder).adopt(&modes(&[("email:*", Mode::Observe)])).unwrap();
    let older = std::fs::read(folder.path().join("rollout.db")).unwrap();
    open(&folder).adopt(&modes(&[("email:*", Mode::Enforce)])).unwrap();
    lose(&folder);
    std::fs::write(folder.path().join("rollout.db"), older).unwrap();
    assert_eq!(open(&folder).adopt(&modes(&[("email:*", Mode::Observe)])).unwrap().len(), 1);
}

#[test]
fn mode_that_an_operator_has_loosened_stays_loose_when_the_record_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder).adopt(&modes(&[("email:*", Mode::Enforce)])).unwrap();
    open(&folder).loosen("email:*").unwrap();
    lose(&folder);
    assert_eq!(open(&folder).adopt(&modes(&[("email:*", Mode::Off)])).unwrap(), []);
}

#[test]
fn record_that_is_only_read_is_not_created_and_knows_the_modes_of_its_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollout.db");
    let existing = Rollout::open_existing(&path).unwrap();
    assert_eq!(existing.effective("email:*", Mode::Observe), Mode::Observe);
    assert!(!path.exists());
    open(&folder).adopt(&modes(&[("email:*", Mode::Prefer)])).unwrap();
    assert_eq!(Rollout::open_existing(&path).unwrap().effective("email:*", Mode::Off), Mode::Prefer);
    lose(&folder);
    assert_eq!(Rollout::open_existing(&path).unwrap().effective("email:*", Mode::Off), Mode::Prefer);
    assert!(!path.exists());
}
