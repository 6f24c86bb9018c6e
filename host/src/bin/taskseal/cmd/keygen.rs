//! `taskseal keygen`: a secret key into a new file, its keyset entry onto standard output.

use std::path::PathBuf;

use serde_json::json;
use taskseal::keyring::{Algorithm, SecretKey};
use taskseal_core::{Kind, Suite};

use super::show;
use crate::ui::{Failure, Ui};

/// Make a key: the secret into a new file, the keyset entry onto standard output
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal keygen --suite S --out producer.key --issuer producer >> keyset.toml\n  taskseal keygen --suite SE --out shared.key >> keyset.toml"
)]
pub(crate) struct Args {
    /// What the key is for: S signs (for SE and SP too), M authenticates, E encrypts and vouches, SE is the shared key
    /// that encrypts inside a signature and vouches for nothing, SP decrypts
    #[arg(long, value_parser = suite)]
    suite: Suite,
    /// The file of the secret key, which must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
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
        None => Err("one of S, M, E, SE, SP".to_owned()),
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
    let key = SecretKey::create(&args.out, algorithm, &purpose).map_err(Failure::key)?;
    let entry = Entry {
        key: &key,
        kind,
        label: args.label.as_deref(),
        secret_file: args.out.to_string_lossy().into_owned(),
        rights: vouches.then(|| [or_any(&args.issuer), or_any(&args.types), or_any(&args.audience)]),
    };
    ui.note(&format!("made key {} in {}", key.kid(), args.out.display()));
    if vouches && rights.iter().any(|patterns| patterns.is_empty()) {
        ui.note("the entry has a `*` in it: narrow what the key may vouch for before it is used");
    }
    if ui.json() {
        let mut members = vec![
            ("kid", json!(key.kid().to_string())),
            ("alg", json!(algorithm.name())),
            ("use", json!(show::kind(kind))),
            ("file", json!(entry.secret_file)),
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

/// The public side of a key, as the keyset file has it.
pub(super) struct Entry<'k> {
    pub(super) key: &'k SecretKey,
    pub(super) kind: Kind,
    pub(super) label: Option<&'k str>,
    /// Named for symmetric keys only.
    pub(super) secret_file: String,
    /// Issuers, types and audiences; `None`: it vouches for nothing.
    pub(super) rights: Option<[Vec<String>; 3]>,
}

impl Entry<'_> {
    /// The entry with an empty line after it.
    pub(super) fn to_toml(&self) -> String {
        let algorithm = self.key.algorithm();
        let mut lines = vec![
            "[[key]]".to_owned(),
            format!("kid = {}", quoted(&self.key.kid().to_string())),
            format!("alg = {}", quoted(algorithm.name())),
            format!("use = {}", quoted(show::kind(self.kind))),
        ];
        match self.key.public() {
            Some(public) => lines.push(format!("public = {}", quoted(&public))),
            None => lines.push(format!("secret_file = {}", quoted(&self.secret_file))),
        }
        for (name, patterns) in ["issuers", "types", "audiences"].iter().zip(self.rights.iter().flatten()) {
            let patterns: Vec<_> = patterns.iter().map(|pattern| quoted(pattern)).collect();
            lines.push(format!("{name} = [{}]", patterns.join(", ")));
        }
        lines.extend(self.label.map(|label| format!("label = {}", quoted(label))));
        lines.push("\n".to_owned());
        lines.join("\n")
    }
}

/// A TOML string, escaped.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
