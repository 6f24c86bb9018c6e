//! `taskseal keygen sign` and `receive`: key pairs, in a file or in a token.

use std::path::{Path, PathBuf};

use serde_json::json;
use taskseal::audit::KeyChange;
use taskseal::keys::Algorithm;
use taskseal_hsm::{KeyUri, Usage};

use super::note_location;
use super::shared::note_wrapping;
use crate::entry_args::{EntryArgs, RightsArgs};
use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::trail::Trail;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct SignArgs {
    #[command(flatten)]
    location: LocationArgs,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    entry: EntryArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReceiveArgs {
    #[command(flatten)]
    location: LocationArgs,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    entry: EntryArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    location: LocationArgs,
}

/// Where a private key is generated.
#[derive(Debug, clap::Args)]
struct LocationArgs {
    /// File of the private key, which must not exist
    #[arg(long, value_name = "FILE", required_unless_present = "pkcs11", conflicts_with = "pkcs11")]
    out: Option<PathBuf>,
    /// Token in which the key is generated and which it never leaves, with the label of the key as `object`
    #[arg(long, value_name = "URI", value_parser = KeyUri::parse)]
    pkcs11: Option<KeyUri>,
    /// Key of a token that wraps the file, which cannot be read without it; `taskseal token wrapping-key` generates one
    #[arg(long, value_name = "URI", value_parser = KeyUri::parse, requires = "out", conflicts_with = "pkcs11")]
    wrap: Option<KeyUri>,
}

pub(super) fn sign(args: &SignArgs, trail: &Trail, ui: &Ui) -> Result<(), Failure> {
    let rights = args.rights.required()?;
    args.entry.check()?;
    let key = args.location.generate(Usage::Sign, &args.entry.purpose(), trail)?;
    args.location.print_notes(&key, ui);
    args.entry.finish(&key, Some(rights), ui)
}

pub(super) fn receive(args: &ReceiveArgs, trail: &Trail, ui: &Ui) -> Result<(), Failure> {
    let rights = args.rights.of(Algorithm::EcdhEs)?;
    args.entry.check()?;
    let key = args.location.generate(Usage::Agree, &args.entry.purpose(), trail)?;
    args.location.print_notes(&key, ui);
    args.entry.finish(&key, rights, ui)
}

pub(super) fn audit(args: &AuditArgs, trail: &Trail, ui: &Ui) -> Result<(), Failure> {
    let key = args.location.generate(Usage::Sign, "signs checkpoints of the audit log", trail)?;
    args.location.print_notes(&key, ui);
    let public = key.public().unwrap_or_default();
    if ui.json() {
        let members = vec![("kid", json!(key.kid.to_string())), (key.member(), json!(key.location))];
        return ui.object([members, vec![("public", json!(public))]].concat());
    }
    ui.text(&format!("{public}\n"))
}

impl LocationArgs {
    fn generate(&self, usage: Usage, purpose: &str, trail: &Trail) -> Result<KeySummary, Failure> {
        let place = match (&self.pkcs11, &self.out) {
            (Some(uri), _) => uri.name().to_string(),
            (None, out) => out.as_deref().unwrap_or(Path::new("")).display().to_string(),
        };
        trail.key(KeyChange::Generate, place, || self.generate_unrecorded(usage, purpose))
    }

    fn generate_unrecorded(&self, usage: Usage, purpose: &str) -> Result<KeySummary, Failure> {
        let algorithm = if usage == Usage::Sign { Algorithm::Es256 } else { Algorithm::EcdhEs };
        match (&self.pkcs11, &self.out) {
            (Some(uri), _) => in_token(uri, usage),
            (None, Some(out)) => KeySummary::in_new_file(out, algorithm, purpose, self.wrap.as_ref()),
            (None, None) => {
                Err(Failure::usage("the file of the key is missing").hint("name it with --out FILE"))
            }
        }
    }

    fn print_notes(&self, key: &KeySummary, ui: &Ui) {
        note_location(key, ui);
        if self.pkcs11.is_some() {
            ui.note(&format!("in a configuration, use \"{}\" in the place of a key file", key.location));
        }
        note_wrapping(self.wrap.as_ref(), ui);
    }
}

/// The label is that of the URI; the id is computed from the key.
fn in_token(uri: &KeyUri, usage: Usage) -> Result<KeySummary, Failure> {
    let (Some(label), None) = (uri.object(), uri.id()) else {
        return Err(Failure::usage("the URI of a new key must set `object` and must not set `id`")
            .hint("add `object=NAME`; the id is computed from the key"));
    };
    KeySummary::in_token(uri.token_uri(), usage, label)
}
