use std::time::Duration;

use super::*;

#[test]
fn backoff_for_a_pattern_without_a_handler_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taskseal.toml");
    std::fs::write(&file, "deployment = \"plant-a\"\n[worker]\n[[worker.queue]]\nname = \"default\"\n")
        .unwrap();
    let config = Config::load(&file).unwrap();
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

    let builder = Worker::builder(&config).handle("email:*", async |_| Ok(()));
    let error = builder.backoff("email:send", backoff).build().unwrap_err();

    assert!(error.to_string().contains("no handler for `email:send`"), "{error}");
}
