//! Root keys in a token.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;

use taskseal_tests::token_folder::TokenFolder;

use crate::support::keygen::keygen;
use crate::support::token::RunWithToken;

#[test]
fn root_in_a_token_is_generated_once_and_signs() {
    let tokens = TokenFolder::new();
    let root = tokens.uri("token=plant;object=root");
    let init = tokens.run(&["keyset", "init", "--name", "prod", "--root", &root]);
    assert!(init.ok().err.contains("generated root key "), "{init:?}");
    let entry = tokens.run(&keygen("S", &["--out", "a.key", "--state", "primary"])).ok().out.clone();
    fs::write(tokens.path("entry"), entry).unwrap();
    tokens.run(&["keyset", "add", "entry", "--state", "primary"]).ok();

    let signed = tokens.run(&["keyset", "sign", "--root", &root, "--json"]);

    assert_eq!(signed.ok().json()["sequence"], 1);
    tokens.run(&["keyset", "verify"]).ok();
    let other = tokens.uri("token=plant;object=other");
    tokens.run(&["keyset", "sign", "--root", &other]).failed(5).hinted();
    fs::remove_file(tokens.path("keyset.toml")).unwrap();
    let again = tokens.run(&["keyset", "init", "--name", "prod", "--root", &root]);
    assert_eq!(again.ok().text(), init.text());
    assert!(!again.err.contains("generated"), "{again:?}");
}
