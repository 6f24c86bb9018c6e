//! Policy files that change while a worker runs: they may become stricter, never looser.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use taskseal::Client;
use taskseal::policy::{Mode, PolicySet, TypeRules};
use taskseal::rollout::Rollout;
use taskseal_tests::site::{Site, SiteWorker, replace, task};

const FAILED: &str = "cannot load the policy again";
const RELOADED: &str = "loaded the keys again";
const EMAIL: &str = "[[type]]\ntype = \"email:*\"\n";

/// A site with this policy file, which is changed without its configuration from now on.
fn ruled(rules: &str) -> Site {
    let site = Site::new();
    site.write_policy(rules);
    site
}

fn set(site: &Site, rules: &str) {
    replace(&site.path("policy.toml"), rules);
}

/// Has the worker run one more task of the client.
async fn assert_runs(client: &Client, worker: &SiteWorker) {
    let id = client.enqueue(task(1)).await.unwrap().id;
    worker.log.until(1, &format!("succeeded {id}")).await;
}

#[tokio::test]
async fn policy_file_that_cannot_be_loaded_changes_nothing_and_is_reported_once_until_it_is_back() {
    let site = ruled(EMAIL);
    let (client, worker) = (site.client(), site.start_worker());
    let file = site.path("policy.toml");
    let faults: [(&str, &dyn Fn()); 6] = [
        ("half-written", &|| fs::write(&file, &EMAIL[..EMAIL.len() - 6]).unwrap()),
        ("emptied", &|| fs::write(&file, "").unwrap()),
        ("removed", &|| fs::remove_file(&file).unwrap()),
        ("replaced by a folder", &|| {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
        }),
        ("with an unknown field", &|| fs::write(&file, format!("{EMAIL}mod = \"off\"\n")).unwrap()),
        ("writable by all users", &|| {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        }),
    ];
    for (number, (fault, begin)) in faults.into_iter().enumerate() {
        begin();
        worker.log.until(number + 1, FAILED).await;
        (worker.reload)();
        assert_runs(&client, &worker).await;
        assert_eq!(worker.log.count(FAILED), number + 1, "{fault}: {:?}", worker.log.all());
        let _ = fs::remove_dir(&file);
        let before = worker.log.count(RELOADED);
        set(&site, EMAIL);
        worker.log.until(before + 1, RELOADED).await;
    }
    assert_eq!(worker.stop().await.refused_total(), 0);
}

#[tokio::test]
async fn policy_that_loosens_the_mode_of_a_type_is_refused_while_a_worker_runs() {
    let site = ruled("[[type]]\ntype = \"email:send\"\n[[type]]\ntype = \"*\"\nmode = \"observe\"\n");
    let (client, worker) = (site.client(), site.start_worker());
    for (number, (looser, pattern)) in [
        ("[[type]]\ntype = \"email:send\"\nmode = \"observe\"\n", "email:send"),
        ("[[type]]\ntype = \"email:send\"\nmode = \"prefer\"\n[[type]]\ntype = \"*\"\n", "email:send"),
        // The narrower rule is removed, so that a wider one decides.
        ("[[type]]\ntype = \"*\"\nmode = \"observe\"\n", "email:send"),
        ("[[type]]\ntype = \"email:send\"\n[[type]]\ntype = \"*\"\nmode = \"off\"\n", "*"),
        ("[[type]]\ntype = \"email:*\"\nmode = \"observe\"\n", "email:send"),
    ]
    .into_iter()
    .enumerate()
    {
        set(&site, looser);
        worker.log.until(number + 1, FAILED).await;
        let last = worker.log.all().into_iter().rfind(|event| event.contains(FAILED)).unwrap();
        assert!(last.contains(&format!("the mode of type `{pattern}`")), "{looser}: {last}");
        assert_runs(&client, &worker).await;
    }
    assert_eq!(worker.log.count("is replaced by"), 0);
    worker.stop().await;
}

#[tokio::test]
async fn looser_mode_that_an_operator_allows_waits_for_the_next_start() {
    let site = ruled(EMAIL);
    let worker = site.start_worker();
    site.config().open_rollout().unwrap().loosen("email:*").unwrap();
    set(&site, &format!("{EMAIL}mode = \"observe\"\n"));
    worker.log.until(1, FAILED).await;
    worker.stop().await;
    let worker = site.start_worker();
    let stricter = format!("{EMAIL}mode = \"prefer\"\n");
    set(&site, &stricter);
    worker.log.until(1, "is replaced by").await;
    worker.stop().await;
}

#[tokio::test]
async fn stricter_policy_holds_without_a_restart_and_is_named_by_both_fingerprints() {
    let observe = format!("{EMAIL}mode = \"observe\"\n");
    let site = ruled(&observe);
    let (client, worker) = (site.client(), site.start_worker());
    assert_runs(&client, &worker).await;
    let fingerprint = || {
        let rules = TypeRules::load(&site.path("policy.toml")).unwrap();
        PolicySet::new(site.config().policy, rules).fingerprint()
    };
    let before = fingerprint();
    set(&site, &format!("{EMAIL}issuers = [\"erp\"]\n"));
    worker.log.until(1, &format!("policy {before} is replaced by {}", fingerprint())).await;
    let id = client.enqueue(task(2)).await.unwrap().id;
    worker.log.until(1, &format!("postponed {id}")).await;
    let report = Rollout::open(&site.path("state/rollout.db")).unwrap().report().unwrap();
    assert!(report.iter().any(|found| found.pattern == "email:*" && found.strictest == Some(Mode::Enforce)));
    set(&site, EMAIL);
    worker.log.until(1, &format!("succeeded {id}")).await;
    assert_eq!(worker.stop().await.refused_total(), 0);
}

#[tokio::test]
async fn policy_is_replaced_although_the_keyset_cannot_be_loaded() {
    let site = ruled(EMAIL);
    let (client, worker) = (site.client(), site.start_worker());
    fs::write(site.path("keyset.toml"), "[[key]\n").unwrap();
    worker.log.until(1, "cannot load the keys again").await;
    set(&site, &format!("{EMAIL}issuers = [\"erp\"]\n"));
    worker.log.until(1, "is replaced by").await;
    let id = client.enqueue(task(1)).await.unwrap().id;
    worker.log.until(1, &format!("postponed {id}")).await;
    worker.stop().await;
}

/// Moves the record of the modes away, so that nothing can be recorded.
fn lose_record(site: &Site) {
    fs::rename(site.path("state/rollout.db"), site.path("state/lost.db")).unwrap();
}

#[tokio::test]
async fn policy_that_could_not_be_recorded_is_loaded_again_long_before_the_refresh_interval() {
    let site = ruled(&format!("{EMAIL}mode = \"observe\"\n"));
    let mut config = site.config();
    config.key_refresh = Duration::from_secs(86_400);
    let worker = site.start_worker_with(config, |builder| builder);
    lose_record(&site);
    set(&site, EMAIL);
    worker.log.until(1, FAILED).await;
    fs::rename(site.path("state/lost.db"), site.path("state/rollout.db")).unwrap();
    worker.log.until(1, "is replaced by").await;
    worker.stop().await;
}

#[tokio::test]
async fn rule_that_excludes_a_key_takes_effect_although_no_mode_can_be_recorded() {
    let site = ruled(EMAIL);
    let (client, worker) = (site.client(), site.start_worker());
    lose_record(&site);
    set(&site, &format!("{EMAIL}kids = [\"{}\"]\n", site.kid("worker")));
    worker.log.until(1, "is replaced by").await;
    let id = client.enqueue(task(1)).await.unwrap().id;
    worker.log.until(1, &format!("postponed {id}")).await;
    assert_eq!(worker.log.count(FAILED), 0, "{:?}", worker.log.all());
    worker.stop().await;
}
