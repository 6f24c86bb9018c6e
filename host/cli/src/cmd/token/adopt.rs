//! `taskseal token adopt`: prints the keyset entry of a key pair that another program generated in a token.

use serde_json::json;
use taskseal::keys::Algorithm;
use taskseal_core::Kind;
use taskseal_hsm::{EcKey, KeyKind, KeySelector, KeyUri, Usage};

use crate::failure::Failure;
use crate::keygen_output::{Entry, GeneratedKey, open_token, token_failure};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key pair, named by `id` or `object`
    #[arg(value_name = "URI", value_parser = KeyUri::parse)]
    uri: KeyUri,
    /// What the key seals or decrypts
    #[arg(long, value_name = "KIND", default_value = "task", value_parser = ["task", "result"])]
    r#use: String,
    /// Issuer that a signing key may use; may be repeated
    #[arg(long, value_name = "PATTERN")]
    issuer: Vec<String>,
    /// Task type that a signing key may seal; may be repeated
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Audience (deployment/queue) that a signing key may seal for; may be repeated
    #[arg(long, value_name = "PATTERN")]
    audience: Vec<String>,
    /// Name of the key in the keyset, for people
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let name = args.uri.name().to_string();
    let failed = |error: taskseal_hsm::Error| token_failure(&error, &name);
    let (token, _) = open_token(args.uri.token_uri())?;
    let named = |id: &[u8], label: &str| {
        args.uri.id().is_none_or(|wanted| wanted == id)
            && args.uri.object().is_none_or(|wanted| wanted == label)
    };
    let decrypts = token
        .keys()
        .map_err(failed)?
        .iter()
        .any(|key| named(&key.id, &key.label) && key.kind == KeyKind::Agreement);
    let (usage, algorithm) =
        if decrypts { (Usage::Agree, Algorithm::EcdhEs) } else { (Usage::Sign, Algorithm::Es256) };
    // Loading names the attribute that is wrong, and has the key prove that it works.
    let key = EcKey::load(&token, &KeySelector::from(&args.uri), usage).map_err(failed)?;
    let rights = rights(args, usage)?;
    let location = args.uri.to_string();
    let key = GeneratedKey { algorithm, kid: key.kid(), point: Some(key.public_point()), location };
    let kind = if args.r#use == "result" { Kind::Result } else { Kind::Task };
    let entry = Entry { key: &key, kind, label: args.label.as_deref(), rights }.to_toml();
    ui.note(&format!("in a configuration, use \"{}\" in the place of a key file", key.location));
    if !ui.json() {
        return ui.text(&entry);
    }
    let (kid, algorithm) = (key.kid.to_string(), key.algorithm.name());
    ui.object(vec![
        ("kid", json!(kid)),
        ("alg", json!(algorithm)),
        ("public", json!(key.public())),
        ("entry", json!(entry)),
    ])
}

/// Returns the rights of the entry. A key that signs needs all three: `*` is written out.
fn rights(args: &Args, usage: Usage) -> Result<Option<[Vec<String>; 3]>, Failure> {
    let patterns = [&args.issuer, &args.types, &args.audience];
    match usage {
        Usage::Sign if patterns.iter().any(|patterns| patterns.is_empty()) => {
            Err(Failure::usage("the rights of a signing key are missing")
                .hint("set --issuer, --type and --audience; `*` is a pattern too"))
        }
        Usage::Sign => Ok(Some(patterns.map(Clone::clone))),
        _ if patterns.iter().any(|patterns| !patterns.is_empty()) => {
            Err(Failure::usage("a key that decrypts authenticates nothing")
                .hint("omit --issuer, --type and --audience"))
        }
        _ => Ok(None),
    }
}
