//! `taskseal keygen`: generates a secret key in a new file or in a token, and prints its keyset entry.

use std::path::PathBuf;

use serde_json::json;
use taskseal::keys::Algorithm;
use taskseal::keys::pkcs11::{MODULE_VARIABLE, PIN_SOURCE_VARIABLE};
use taskseal_core::{Kind, Suite};
use taskseal_hsm::{KeyUri, Usage};

use crate::failure::Failure;
use crate::keygen_output::{Entry, GeneratedKey};
use crate::output::json::{self, Member};
use crate::ui::Ui;

/// Generate a key: the secret in a new file or a token, the keyset entry on standard output
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal keygen --suite S --out producer.key --issuer producer >> keyset.toml\n  taskseal keygen --suite SE --out shared.key >> keyset.toml\n  taskseal keygen --suite S --pkcs11 'pkcs11:token=prod;object=orders?pin-source=file:/run/pin' --issuer shop >> keyset.toml\n  taskseal keygen --suite SE --out shared.key --wrap 'pkcs11:token=prod;object=kek?pin-source=file:/run/pin' >> keyset.toml"
)]
pub(crate) struct Args {
    /// Purpose of the key: S signs (also for SE and SP), M authenticates, E encrypts and authenticates, SE is the shared
    /// key that encrypts inside a signature and authenticates nothing, SP decrypts
    #[arg(long, value_parser = suite)]
    suite: Suite,
    /// File of the secret key, which must not exist
    #[arg(long, value_name = "FILE", required_unless_present = "pkcs11", conflicts_with = "pkcs11")]
    out: Option<PathBuf>,
    /// Token in which the key is generated and which it never leaves, with its label as `object`: suites S and SP
    #[arg(long, value_name = "URI", value_parser = KeyUri::parse)]
    pkcs11: Option<KeyUri>,
    /// Key of a token that wraps the file, which cannot be read without it; `taskseal token wrapping-key` generates one
    #[arg(long, value_name = "URI", value_parser = KeyUri::parse, requires = "out", conflicts_with = "pkcs11")]
    wrap: Option<KeyUri>,
    /// What the key seals or decrypts
    #[arg(long, value_name = "KIND", default_value = "task", value_parser = ["task", "result"])]
    r#use: String,
    /// Issuer that the key may use; may be repeated [default: *]
    #[arg(long, value_name = "PATTERN")]
    issuer: Vec<String>,
    /// Task type that the key may seal; may be repeated [default: *]
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Audience (deployment/queue) that the key may seal for; may be repeated [default: *]
    #[arg(long, value_name = "PATTERN")]
    audience: Vec<String>,
    /// Name of the key in the keyset, for people
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

fn suite(name: &str) -> Result<Suite, String> {
    match Suite::from_name(name) {
        Some(suite) => Ok(suite),
        None => Err("one of S, M, E, SE, SP".to_owned()),
    }
}

impl Args {
    const fn algorithm(&self) -> Algorithm {
        match self.suite {
            Suite::M => Algorithm::Hs256,
            Suite::E | Suite::Se => Algorithm::A256Gcm,
            Suite::Sp => Algorithm::EcdhEs,
            _ => Algorithm::Es256,
        }
    }

    /// Returns whether the key authenticates tasks. A key that encrypts inside a signature must not: verifiers would
    /// accept it for that.
    const fn authenticates(&self) -> bool {
        !matches!(self.suite, Suite::Se | Suite::Sp)
    }

    fn kind(&self) -> Kind {
        if self.r#use == "result" { Kind::Result } else { Kind::Task }
    }

    const fn patterns(&self) -> [&Vec<String>; 3] {
        [&self.issuer, &self.types, &self.audience]
    }

    /// Returns the patterns of the keyset entry.
    fn rights(&self) -> Option<[Vec<String>; 3]> {
        let or_any = |patterns: &Vec<String>| {
            if patterns.is_empty() { vec!["*".to_owned()] } else { patterns.clone() }
        };
        self.authenticates().then(|| self.patterns().map(or_any))
    }
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    if !args.authenticates() && args.patterns().iter().any(|patterns| !patterns.is_empty()) {
        return Err(Failure::usage("a key of suite SE or SP authenticates nothing")
            .hint("omit --issuer, --type and --audience"));
    }
    let key = generate(args)?;
    let entry = Entry { key: &key, kind: args.kind(), label: args.label.as_deref(), rights: args.rights() };
    print_notes(args, &key, ui);
    let entry = entry.to_toml();
    if ui.json() { ui.object(members(args, &key, &entry)) } else { ui.text(&entry) }
}

fn generate(args: &Args) -> Result<GeneratedKey, Failure> {
    let (algorithm, purpose) = (args.algorithm(), format!("{}s", args.r#use));
    match (&args.pkcs11, &args.out, &args.wrap) {
        (Some(uri), ..) => in_token(uri, algorithm),
        (None, Some(out), Some(kek)) => GeneratedKey::in_wrapped_file(out, algorithm, &purpose, kek),
        (None, Some(out), None) => GeneratedKey::in_file(out, algorithm, &purpose),
        (None, None, _) => {
            Err(Failure::usage("the file of the key is missing").hint("name it with --out FILE"))
        }
    }
}

/// The label is that of the URI; the id is computed from the key.
fn in_token(uri: &KeyUri, algorithm: Algorithm) -> Result<GeneratedKey, Failure> {
    let usage = match algorithm {
        Algorithm::Es256 => Usage::Sign,
        Algorithm::EcdhEs => Usage::Agree,
        Algorithm::Hs256 => {
            return Err(Failure::usage(
                "a key of suite M cannot be generated in a token: verifiers need its secret, which never leaves a token",
            )
            .hint("use --out FILE, give the file to verifiers, and import it into the token with the tools of the token"));
        }
        _ => {
            return Err(Failure::usage("a shared encryption key cannot be generated in a token")
                .hint("use --out FILE for a shared key, or --suite S or SP"));
        }
    };
    let (Some(label), None) = (uri.object(), uri.id()) else {
        return Err(Failure::usage("the URI of a new key must set `object` and must not set `id`")
            .hint("add `object=NAME`; the id is computed from the key"));
    };
    GeneratedKey::in_token(uri.token_uri(), usage, label)
}

fn print_notes(args: &Args, key: &GeneratedKey, ui: &Ui) {
    ui.note(&format!("generated key {} in {}", key.kid, key.location));
    if args.pkcs11.is_some() {
        ui.note(&format!("in a configuration, use \"{}\" in the place of a key file", key.location));
    }
    if args.wrap.is_some() {
        ui.note(&format!("reading it requires the token, {MODULE_VARIABLE} and {PIN_SOURCE_VARIABLE}"));
    }
    if args.authenticates() && args.patterns().iter().any(|patterns| patterns.is_empty()) {
        ui.note("the entry contains `*`: restrict what the key may seal before you use it");
    }
}

fn members(args: &Args, key: &GeneratedKey, entry: &str) -> Vec<Member> {
    let mut members = vec![
        ("kid", json!(key.kid.to_string())),
        ("alg", json!(key.algorithm.name())),
        ("use", json!(json::kind(args.kind()))),
        (if args.pkcs11.is_some() { "uri" } else { "file" }, json!(key.location)),
    ];
    members.extend(key.public().map(|public| ("public", json!(public))));
    members.push(("entry", json!(entry)));
    members
}
