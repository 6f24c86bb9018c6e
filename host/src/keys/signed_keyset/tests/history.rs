//! The checkpoint: rollback and forks are refused, also after a restart, and a lost record is not a first start.

use super::*;

const RECORD: &str = "state/keyset-checkpoint";
const COPY: &str = "state/keyset-copy.cose";

/// A host that has used the keyset 2.
fn used() -> Deployment {
    let deployment = Deployment::new();
    deployment.write(&sign(2));
    deployment.load().unwrap();
    deployment
}

#[test]
fn older_keyset_and_another_with_the_same_number_are_refused_after_a_restart() {
    let deployment = used();
    deployment.write(&sign(1));
    let error = deployment.error();
    assert_refused(&error, KeysetRefusal::RolledBack);
    assert!(error.message.contains("sequence 1, and this host has used 2"), "{error}");

    let first = checkpoint_of(&sign(1));
    deployment.write(&sign_as(ROOT, "prod", Some(&first), 50));
    assert_refused(&deployment.error(), KeysetRefusal::Forked);
    // The next number, of the other history.
    let fork = checkpoint_of(&sign_as(ROOT, "prod", Some(&first), 50));
    deployment.write(&sign_as(ROOT, "prod", Some(&fork), 51));
    assert_refused(&deployment.error(), KeysetRefusal::Forked);

    // A refused keyset changes nothing.
    deployment.write(&sign(3));
    assert_eq!(deployment.load().unwrap().head.sequence, 3);
}

#[test]
fn keysets_in_between_may_have_been_missed() {
    let deployment = used();
    deployment.write(&sign(5));
    assert_eq!(deployment.load().unwrap().head.sequence, 5);
    deployment.write(&sign(4));
    assert_refused(&deployment.error(), KeysetRefusal::RolledBack);
}

#[test]
fn erased_cut_off_or_edited_checkpoint_is_a_fault_and_not_a_first_start() {
    let deployment = used();
    let record = fs::read_to_string(deployment.path(RECORD)).unwrap();
    let erased = "\0".repeat(40);
    let zero = record.replace("sequence 2", "sequence 0");
    let signed = record.replace("sequence 2", "sequence +2");
    let upper = record.replace("digest ", "digest A");
    let short = &record[..record.len() - 1];
    for content in ["", &erased, &zero, &signed, &upper, short, &record[..30], &format!("{record}\n")] {
        fs::write(deployment.path(RECORD), content).unwrap();
        let error = deployment.error();
        assert_eq!(error.kind, KeysetErrorKind::CheckpointDamaged, "{content:?}: {error}");
        assert!(error.hint.contains("the newest one that the root has signed"));
        assert_eq!(fs::read_to_string(deployment.path(RECORD)).unwrap(), content);
    }
    fs::write(deployment.path(RECORD), record).unwrap();
    assert!(deployment.load().is_ok());
}

#[test]
fn checkpoint_that_is_gone_after_a_keyset_was_used_is_a_fault() {
    let deployment = used();
    fs::remove_file(deployment.path(RECORD)).unwrap();
    deployment.write(&sign(1));
    let error = deployment.error();
    assert_eq!(error.kind, KeysetErrorKind::CheckpointMissing);
    assert!(error.hint.contains("keyset-copy.cose"), "{}", error.hint);
    // What the hint says: the operator decides that this is the first keyset.
    fs::remove_file(deployment.path(COPY)).unwrap();
    assert_eq!(deployment.load().unwrap().head.sequence, 1);
}

/// A process of the host that has used the keyset 2 and runs.
fn running(deployment: &Deployment) -> LoadMode {
    RECORDED.after(Some(&deployment.load().unwrap().head))
}

#[test]
fn process_that_runs_refuses_an_older_keyset_whatever_became_of_the_folder_of_state() {
    let deployment = used();
    let mode = running(&deployment);
    let load = || deployment.settings().load(&KeyStores::default(), None, mode, ISSUED);
    let older = sign(1);
    let first = checkpoint_of(&older);
    let fork = sign_as(ROOT, "prod", Some(&first), 50);
    let wiped = || fs::remove_dir_all(deployment.path("state")).unwrap();
    let lost = || fs::remove_file(deployment.path(RECORD)).unwrap();
    // Restored from a backup.
    let set_back = || {
        wiped();
        deployment.write(&older);
        deployment.load().unwrap();
    };
    for damage in [&wiped as &dyn Fn(), &lost, &set_back] {
        damage();
        deployment.write(&older);
        assert_refused(&error(load()), KeysetRefusal::RolledBack);
        deployment.write(&fork);
        assert_refused(&error(load()), KeysetRefusal::Forked);
        deployment.write(&sign(2));
        load().unwrap();
        // The record is the former one again, also for the next start.
        deployment.write(&older);
        assert_refused(&deployment.error(), KeysetRefusal::RolledBack);
    }
    // Another process has used a newer one.
    deployment.write(&sign(3));
    deployment.load().unwrap();
    deployment.write(&sign(2));
    assert_refused(&error(load()), KeysetRefusal::RolledBack);
}

#[test]
fn process_does_not_replace_the_record_of_another_that_uses_a_fork() {
    let deployment = used();
    let mode = running(&deployment);
    fs::remove_dir_all(deployment.path("state")).unwrap();
    deployment.write(&sign_as(ROOT, "prod", Some(&checkpoint_of(&sign(1))), 50));
    deployment.load().unwrap();
    let record = fs::read(deployment.path(RECORD)).unwrap();
    deployment.write(&sign(2));
    assert_refused(
        &error(deployment.settings().load(&KeyStores::default(), None, mode, ISSUED)),
        KeysetRefusal::Forked,
    );
    assert_eq!(fs::read(deployment.path(RECORD)).unwrap(), record);
}

#[test]
fn checkpoint_of_another_deployment_is_a_fault() {
    let deployment = used();
    let roots = vec![key(ROOT).verifying_key()];
    let other =
        SignedKeyset::new(deployment.path("keyset.cose"), "test", roots, deployment.path("state")).unwrap();
    let error = error(other.load(&KeyStores::default(), None, RECORDED, ISSUED));
    assert_eq!(error.kind, KeysetErrorKind::CheckpointDamaged);
    assert!(error.message.contains("of keyset `prod`, expected `test`"), "{error}");
}

#[test]
fn checkpoint_that_others_can_write_is_a_fault() {
    let deployment = used();
    let writable = fs::Permissions::from_mode(0o666);
    fs::set_permissions(deployment.path(RECORD), writable).unwrap();
    assert_eq!(deployment.error().kind, KeysetErrorKind::CheckpointDamaged);
    let shared = fs::Permissions::from_mode(0o777);
    fs::set_permissions(deployment.path("state"), shared).unwrap();
    assert_eq!(deployment.error().kind, KeysetErrorKind::CheckpointUnavailable);
}

#[test]
fn no_key_is_returned_if_the_checkpoint_cannot_be_stored() {
    let deployment = used();
    deployment.write(&sign(3));
    fs::remove_file(deployment.path(RECORD)).unwrap();
    fs::remove_file(deployment.path(COPY)).unwrap();
    // Also as root: a file never replaces a folder.
    fs::create_dir(deployment.path(RECORD)).unwrap();
    let error = deployment.error();
    assert_eq!(error.kind, KeysetErrorKind::CheckpointDamaged, "{error}");
    fs::remove_dir(deployment.path(RECORD)).unwrap();

    fs::remove_dir_all(deployment.path("state")).unwrap();
    fs::write(deployment.path("state"), "a file").unwrap();
    let error = deployment.error();
    assert_eq!(error.kind, KeysetErrorKind::CheckpointUnavailable);
    assert!(error.hint.contains("folder of state"));
}

#[test]
fn record_and_copy_are_for_their_owner_only_and_a_check_writes_neither() {
    let deployment = Deployment::new();
    deployment.write(&sign(1));
    let inspect = || {
        deployment.settings().load(
            &KeyStores::default(),
            None,
            LoadMode::new(Recording::Omitted, SharedKeys::Required),
            ISSUED,
        )
    };
    assert_eq!(inspect().unwrap().head.sequence, 1);
    assert!(!deployment.path("state").exists());

    deployment.load().unwrap();
    for name in [RECORD, COPY] {
        assert_eq!(fs::metadata(deployment.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    deployment.write(&sign(2));
    assert_eq!(inspect().unwrap().head.sequence, 2);
    deployment.write(&sign(1));
    assert_eq!(deployment.load().unwrap().head.sequence, 1);
}

#[test]
fn processes_that_load_at_the_same_time_never_lower_the_checkpoint() {
    let deployment = used();
    let keysets: Vec<_> = (3..=10).map(sign).collect();
    std::thread::scope(|scope| {
        for keyset in &keysets {
            let deployment = &deployment;
            // The older ones may be refused: another thread was faster.
            scope.spawn(move || drop(deployment.load_with(Ok(keyset.clone()))));
        }
    });
    deployment.write(&keysets[7]);
    assert_eq!(deployment.load().unwrap().head.sequence, 10);
    deployment.write(&keysets[6]);
    assert_refused(&deployment.error(), KeysetRefusal::RolledBack);
}
