//! `taskseal token wrapping-key`: an AES-256 key in a token, for `taskseal keygen --wrap`.

use serde_json::json;
use taskseal_hsm::{KeyClass, KeyUri, WrappingKey};

use crate::cmd::made::{open, token_failed};
use crate::ui::{Failure, Ui};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The token that the key is to be made in, and as `object` its label
    #[arg(value_name = "URI", value_parser = KeyUri::parse)]
    uri: KeyUri,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let (Some(label), None) = (args.uri.object(), args.uri.id()) else {
        return Err(Failure::usage("the uri of a new key has a label and no id")
            .hint("name it by `object=NAME`; its id is random"));
    };
    if args.uri.class() == Some(KeyClass::Private) {
        return Err(Failure::usage("a wrapping key is no private key")
            .hint("leave out `type`, or write `type=secret-key`"));
    }
    let (token, uri) = open(args.uri.token_uri())?;
    let key = WrappingKey::generate(&token, label)
        .map_err(|error| token_failed(&error, &format!("no key was made in {}", uri.name())))?;
    let uri = KeyUri::new(uri, key.kid()).to_string();
    ui.note(&format!("made wrapping key {} `{label}`", key.kid()));
    ui.note("no file that it wraps can be read without it: make sure that the token is backed up");
    if ui.json() {
        let kid = key.kid().to_string();
        return ui.object(vec![("kid", json!(kid)), ("label", json!(label)), ("uri", json!(uri))]);
    }
    ui.text(&format!("{uri}\n"))
}
