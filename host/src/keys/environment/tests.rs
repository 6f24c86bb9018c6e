use super::*;
use crate::keys::{KeyErrorKind, KeyStores, KeyUsage};

fn parsed(uri: &str) -> KeyRef {
    EnvironmentSource.parse(uri, Path::new("taskseal.toml")).unwrap()
}

#[test]
fn text_that_is_not_a_name_is_refused_and_not_shown() {
    for uri in ["env:", "env:A B", "env:A-B", "env:7A", "env:A=hunter2", "env://A", "env:A?version=1"] {
        let error = EnvironmentSource.parse(uri, Path::new("taskseal.toml")).unwrap_err();
        assert_eq!(error.message, "not the name of an environment variable", "{uri}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn variable_that_is_unset_or_empty_is_not_found() {
    for value in [None, Some(OsString::new())] {
        let error = fetch(&parsed("env:WORKER_KEY"), |_| value.clone()).unwrap_err();
        assert_eq!(error.to_string(), "env:WORKER_KEY: the environment variable WORKER_KEY is not set");
        assert_eq!(error.kind, KeyErrorKind::NotFound);
    }
    // Through the registry, which has this scheme.
    let stores = KeyStores::default();
    let key = stores.parse("ENV:TASKSEAL_TEST_UNSET", Path::new("taskseal.toml")).unwrap();
    assert_eq!(stores.open(&key, KeyUsage::Sign).unwrap_err().kind, KeyErrorKind::NotFound);
}

#[test]
fn value_is_the_secret_and_is_not_shown() {
    let secret = fetch(&parsed("env:PASSWORD"), |name| {
        assert_eq!(name, "PASSWORD");
        Some("hunter2".into())
    })
    .unwrap();
    assert_eq!(secret.content(), b"hunter2");
    assert!(
        !format!("{secret:?}").contains("hunter2") && !format!("{secret:?}").contains("104"),
        "{secret:?}"
    );
}
