//! `taskseal key show`: describes a key in a file or a token, without any secret.

use serde_json::json;
use taskseal::keys::Algorithm;

use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::output::json::Member;
use crate::output::text;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A secret key file, or the URI of a key pair in a token
    #[arg(value_name = "FILE|URI")]
    key: String,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let key = KeySummary::of(&args.key)?;
    let members = members(&key);
    if ui.json() {
        return ui.object(members);
    }
    ui.text(&text::members(&members))?;
    ui.note("`taskseal key entry` prints its keyset entry");
    Ok(())
}

fn members(key: &KeySummary) -> Vec<Member> {
    let mut members = vec![
        (key.member(), json!(key.location)),
        ("purpose", json!(purpose(key.algorithm))),
        ("alg", json!(key.algorithm.name())),
        ("kid", json!(key.kid.to_string())),
    ];
    members.extend(key.public().map(|public| ("public", json!(public))));
    members
}

/// Returns the subcommand of `taskseal keygen` that generates such keys.
const fn purpose(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es256 => "sign",
        Algorithm::EcdhEs => "receive",
        _ => "shared",
    }
}
