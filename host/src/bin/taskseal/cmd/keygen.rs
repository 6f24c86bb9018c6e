//! `taskseal keygen`: a secret key into a new file or a token, its keyset entry onto standard output.

use std::path::PathBuf;

use serde_json::json;
use taskseal::keyring::Algorithm;
use taskseal::tokens::{MODULE_VARIABLE, PIN_SOURCE_VARIABLE};
use taskseal_core::{Kind, Suite};
use taskseal_hsm::{KeyUri, Usage};

use super::made::{Entry, Made};
use super::show;
use crate::ui::{Failure, Ui};

/// Make a key: the secret into a new file or a token, the keyset entry onto standard output
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal keygen --suite S --out producer.key --issuer producer >> keyset.toml\n  taskseal keygen --suite SE --out shared.key >> keyset.toml\n  taskseal keygen --suite S --pkcs11 'pkcs11:token=prod;object=orders?pin-source=file:/run/pin' --issuer shop >> keyset.toml\n  taskseal keygen --suite SE --out shared.key --wrap 'pkcs11:token=prod;object=kek?pin-source=file:/run/pin' >> keyset.toml"
)]
pub(crate) struct Args {
    /// What the key is for: S signs (for SE and SP too), M authenticates, E encrypts and vouches, SE is the shared key
    /// that encrypts inside a signature and vouches for nothing, SP decrypts
    #[arg(long, value_parser = suite)]
    suite: Suite,
    /// The file of the secret key, which must not exist
    #[arg(long, value_name = "FILE", required_unless_present = "pkcs11", conflicts_with = "pkcs11")]
    out: Option<PathBuf>,
    /// The token that the key is to be made in and never leaves, and as `object` its label: suites S and SP
    #[arg(long, value_name = "URI", value_parser = KeyUri::parse)]
    pkcs11: Option<KeyUri>,
    /// Wrap the file by this key of a token, without which it is of no use; `taskseal token wrapping-key` makes one
    #[arg(long, value_name = "URI", value_parser = KeyUri::parse, requires = "out", conflicts_with = "pkcs11")]
    wrap: Option<KeyUri>,
    /// What it seals or decrypts
    #[arg(long, value_name = "KIND", default_value = "task", value_parser = ["task", "result"])]
    r#use: String,
    /// Issuers that it may speak for; may be repeated [default: *]
    #[arg(long, value_name = "PATTERN")]
    issuer: Vec<String>,
    /// Task types that it may seal; may be repeated [default: *]
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Audiences (deployment/queue) that it may seal for; may be repeated [default: *]
    #[arg(long, value_name = "PATTERN")]
    audience: Vec<String>,
    /// A name for people
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

fn suite(name: &str) -> Result<Suite, String> {
    match Suite::from_name(name) {
        Some(suite) => Ok(suite),
        None => {
            Err("one of S, M, E, SE, SP, or sign, mac, encrypt, sign-encrypt, sign-encrypt-to".to_owned())
        }
    }
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let kind = if args.r#use == "result" { Kind::Result } else { Kind::Task };
    let algorithm = match args.suite {
        Suite::M => Algorithm::Hs256,
        Suite::E | Suite::Se => Algorithm::A256Gcm,
        Suite::Sp => Algorithm::EcdhEs,
        _ => Algorithm::Es256,
    };
    let rights = [&args.issuer, &args.types, &args.audience];
    // One key, one purpose: what encrypts inside a signature must not vouch, or no verifier takes it for that.
    let vouches = !matches!(args.suite, Suite::Se | Suite::Sp);
    if !vouches && rights.iter().any(|patterns| !patterns.is_empty()) {
        return Err(Failure::usage("a key that only encrypts or decrypts vouches for nothing")
            .hint("leave out --issuer, --type and --audience"));
    }
    let purpose = format!("{}s", args.r#use);
    let key = match (&args.pkcs11, &args.out, &args.wrap) {
        (Some(uri), ..) => in_token(uri, algorithm)?,
        (None, Some(out), Some(kek)) => Made::in_wrapped_file(out, algorithm, &purpose, kek)?,
        (None, Some(out), None) => Made::in_file(out, algorithm, &purpose)?,
        (None, None, _) => return Err(Failure::usage("no place for the key").hint("name it: --out FILE")),
    };
    let entry = Entry {
        key: &key,
        kind,
        label: args.label.as_deref(),
        rights: vouches.then(|| [or_any(&args.issuer), or_any(&args.types), or_any(&args.audience)]),
    };
    ui.note(&format!("made key {} in {}", key.kid, key.place));
    if args.pkcs11.is_some() {
        ui.note(&format!("where a configuration wants a key file, write \"{}\"", key.place));
    }
    if args.wrap.is_some() {
        ui.note(&format!("whoever reads it needs the token, {MODULE_VARIABLE} and {PIN_SOURCE_VARIABLE}"));
    }
    if vouches && rights.iter().any(|patterns| patterns.is_empty()) {
        ui.note("the entry has a `*` in it: narrow what the key may vouch for before it is used");
    }
    if ui.json() {
        let mut members = vec![
            ("kid", json!(key.kid.to_string())),
            ("alg", json!(algorithm.name())),
            ("use", json!(show::kind(kind))),
            (if args.pkcs11.is_some() { "uri" } else { "file" }, json!(key.place)),
        ];
        members.extend(key.public().map(|public| ("public", json!(public))));
        members.push(("entry", json!(entry.to_toml())));
        return ui.object(members);
    }
    ui.text(&entry.to_toml())
}

fn or_any(patterns: &[String]) -> Vec<String> {
    if patterns.is_empty() { vec!["*".to_owned()] } else { patterns.to_vec() }
}

/// The label is the caller's, the id is the key's own.
fn in_token(uri: &KeyUri, algorithm: Algorithm) -> Result<Made, Failure> {
    let usage = match algorithm {
        Algorithm::Es256 => Usage::Sign,
        Algorithm::EcdhEs => Usage::Agree,
        Algorithm::Hs256 => {
            return Err(Failure::usage("a key made in a token never leaves it, and verifiers of suite M need its secret")
                .hint("make it with --out FILE, give that to verifiers, and import it into the token with the token's own tools"));
        }
        Algorithm::A256Gcm => {
            return Err(Failure::usage("a token keeps keys that sign or decrypt, not shared ones")
                .hint("use --suite S or SP; a shared key goes into a file: --out FILE"));
        }
    };
    let (Some(label), None) = (uri.object(), uri.id()) else {
        return Err(Failure::usage("the uri of a new key has a label and no id")
            .hint("name it by `object=NAME`; its id is computed from it"));
    };
    Made::in_token(uri.token_uri(), usage, label)
}
