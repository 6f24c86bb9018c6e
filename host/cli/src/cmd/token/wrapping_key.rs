//! `taskseal token wrapping-key`: generates an AES-256 key in a token, for the option `--wrap` of `taskseal keygen`.

use serde_json::json;
use taskseal_hsm::{KeyClass, KeyUri, WrappingKey};

use crate::failure::Failure;
use crate::key_summary::{open_token, token_failure};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The token, with the label of the new key as `object`
    #[arg(value_name = "URI", value_parser = KeyUri::parse)]
    uri: KeyUri,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let (Some(label), None) = (args.uri.object(), args.uri.id()) else {
        return Err(Failure::usage("the URI of a new key must set `object` and must not set `id`")
            .hint("add `object=NAME`; the id is random"));
    };
    if args.uri.class() == Some(KeyClass::Private) {
        return Err(Failure::usage("a wrapping key is a secret key, not a private key")
            .hint("omit `type`, or use `type=secret-key`"));
    }
    let (token, uri) = open_token(args.uri.token_uri())?;
    let key = WrappingKey::generate(&token, label)
        .map_err(|error| token_failure(&error, &format!("cannot generate a key in {}", uri.name())))?;
    let uri = KeyUri::new(uri, key.kid()).to_string();
    ui.note(&format!("generated wrapping key {} `{label}`", key.kid()));
    ui.note("files that it wraps cannot be read without it: back up the token");
    if ui.json() {
        let kid = key.kid().to_string();
        return ui.object(vec![("kid", json!(kid)), ("label", json!(label)), ("uri", json!(uri))]);
    }
    ui.text(&format!("{uri}\n"))
}
