//! Keysets and key files that change while a client and a worker run.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use taskseal::Client;
use taskseal_tests::fleet::until;
use taskseal_tests::site::{Site, SiteWorker, replace, task};

const RELOADED: &str = "loaded the keys again";
const FAILED: &str = "cannot load the keys again";
const RETIRING: &str = "state = \"retiring\"\naccept_until = \"2100-01-01T00:00:00Z\"";

/// Has the worker run one more task of the client.
async fn assert_runs(client: &Client, worker: &SiteWorker) {
    let id = client.enqueue(task(1)).await.unwrap().id;
    worker.log.until(1, &format!("succeeded {id}")).await;
}

#[tokio::test]
async fn keyset_that_cannot_be_loaded_changes_nothing_and_is_reported_once_until_it_is_back() {
    let site = Site::new();
    let (client, worker) = (site.client(), site.start_worker());
    let (file, good) = (site.path("keyset.toml"), fs::read_to_string(site.path("keyset.toml")).unwrap());
    let half = good.get(..good.len() / 2).unwrap().to_owned();
    let faults: [(&str, &dyn Fn()); 6] = [
        ("half-written", &|| fs::write(&file, &half).unwrap()),
        ("emptied", &|| fs::write(&file, "").unwrap()),
        ("removed", &|| fs::remove_file(&file).unwrap()),
        ("replaced by a folder", &|| {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
        }),
        ("not TOML", &|| fs::write(&file, "[[key]\n").unwrap()),
        ("writable by all users", &|| {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        }),
    ];
    for (number, (fault, begin)) in faults.into_iter().enumerate() {
        begin();
        worker.log.until(number + 1, FAILED).await;
        assert_runs(&client, &worker).await;
        assert_eq!(worker.log.count(FAILED), number + 1, "{fault}: {:?}", worker.log.all());
        let _ = fs::remove_dir(&file);
        replace(&file, &good);
        worker.log.until(number + 1, RELOADED).await;
    }
    assert_eq!(worker.stop().await.refused_total(), 0);
}

#[tokio::test]
async fn producer_that_is_disabled_while_a_worker_runs_is_refused_without_a_restart() {
    let site = Site::new();
    let (client, worker) = (site.client(), site.start_worker());
    assert_runs(&client, &worker).await;
    let sealed = client.seal(task(2)).await.unwrap();
    site.write_keyset(&[("producer", "state = \"disabled\""), ("worker", "")]);
    let change = format!("{} primary -> disabled", site.kid("producer"));
    worker.log.until(1, &change).await;
    client.enqueue_sealed(&sealed.receipt.queue, sealed.envelope).await.unwrap();
    worker.log.until(1, &format!("refused {}", sealed.receipt.id)).await;
    let error = until("the client stops", async || client.check_sealing_key().err()).await;
    assert!(error.to_string().contains("disabled"), "{error}");
    client.enqueue(task(3)).await.unwrap_err();
    worker.stop().await;
}

#[tokio::test]
async fn producer_is_disabled_although_a_key_of_the_worker_cannot_be_opened() {
    let site = Site::new();
    let (client, worker) = (site.client(), site.start_worker());
    assert_runs(&client, &worker).await;
    let sealed = client.seal(task(2)).await.unwrap();
    fs::remove_file(site.path("keys/worker.key")).unwrap();
    worker.log.until(1, "a key of this host or a source of keysets cannot be used").await;
    assert_runs(&client, &worker).await;
    site.write_keyset(&[("producer", "state = \"disabled\""), ("worker", "")]);
    worker.log.until(1, "primary -> disabled").await;
    client.enqueue_sealed(&sealed.receipt.queue, sealed.envelope).await.unwrap();
    worker.log.until(1, &format!("refused {}", sealed.receipt.id)).await;
    worker.stop().await;
}

#[tokio::test]
async fn keyset_behind_the_symbolic_links_of_a_kubernetes_volume_is_loaded_when_they_change() {
    let mut site = Site::new();
    site.add_key("another", "task");
    let volume = site.path("volume");
    let publish = |version: &str, keys: &[(&str, &str)]| {
        fs::create_dir_all(volume.join(version)).unwrap();
        fs::write(volume.join(version).join("keyset.toml"), site.keyset(keys)).unwrap();
        symlink(version, volume.join("..next")).unwrap();
        fs::rename(volume.join("..next"), volume.join("..data")).unwrap();
    };
    publish("..1", &[("producer", ""), ("worker", "")]);
    symlink("..data/keyset.toml", volume.join("keyset.toml")).unwrap();
    site.write_config("keys/producer.key", "[keys]\nkeyset = \"volume/keyset.toml\"\n");
    let worker = site.start_worker();
    publish("..2", &[("producer", ""), ("worker", ""), ("another", "")]);
    worker.log.until(1, &format!("the keyset has 3 keys; {} added, primary", site.kid("another"))).await;
    worker.stop().await;
}

#[tokio::test]
async fn application_has_its_client_and_its_worker_load_their_keys_at_once() {
    let site = Site::new();
    let (client, worker) = (site.client(), site.start_worker());
    (worker.reload)();
    worker.log.until(1, RELOADED).await;
    client.reload_keys();
    site.write_keyset(&[("producer", RETIRING), ("worker", "")]);
    client.reload_keys();
    until("the client stops", async || client.check_sealing_key().err()).await;
    worker.stop().await;
}

#[tokio::test]
async fn key_that_ends_within_a_week_is_reported_once() {
    let site = Site::new();
    let ends = taskseal::time::UnixMillis::now().plus(std::time::Duration::from_secs(86_400 * 2));
    let ends = format!("sign_until = \"{}\"", taskseal::time::rfc3339::format(ends).unwrap());
    site.write_keyset(&[("producer", ""), ("worker", &ends)]);
    let worker = site.start_worker();
    worker.log.until(1, "rotate it before it ends").await;
    (worker.reload)();
    worker.log.until(1, RELOADED).await;
    assert_eq!(worker.log.count("rotate it before it ends"), 1);
    worker.stop().await;
}
