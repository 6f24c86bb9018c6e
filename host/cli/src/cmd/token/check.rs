//! `taskseal token check`: logs in, lists keys and mechanisms, tests each key, and measures how fast the token signs.

use serde_json::{Value, json};
use taskseal_hsm::{Error, Health, KeyDescription, KeyKind, TokenDescription};

use super::key_test::{KeyTest, test_key};
use super::{Target, members};
use crate::failure::Failure;
use crate::key_summary::{open_token, token_failure};
use crate::output::json::{self, hex};
use crate::output::text;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The token, or one key in it
    #[arg(value_name = "URI", value_parser = Target::parse)]
    uri: Target,
}

/// Mechanisms that taskseal uses, and what for.
const USED_MECHANISMS: [(&str, &str); 5] = [
    ("CKM_EC_KEY_PAIR_GEN", "to generate keys"),
    ("CKM_ECDSA", "to sign"),
    ("CKM_ECDH1_DERIVE", "to decrypt"),
    ("CKM_SHA256_HMAC", "for shared keys of suite M"),
    ("CKM_AES_KEY_WRAP", "to wrap key files"),
];

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let name = args.uri.token.name().to_string();
    let failed = |error: Error| token_failure(&error, &name);
    let (token, _) = open_token(&args.uri.token)?;
    let keys = selected(&args.uri, token.keys().map_err(failed)?)?;
    let report = CheckReport {
        description: token.description().map_err(failed)?,
        mechanisms: token.mechanisms().map_err(failed)?,
        tests: keys.into_iter().map(|key| test_key(&token, key)).collect(),
        health: token.health(),
    };
    report.print(ui)?;
    report.verdict(args.uri.key.is_some(), ui)
}

/// Returns the keys that the URI names: all keys if it names a token.
fn selected(uri: &Target, mut keys: Vec<KeyDescription>) -> Result<Vec<KeyDescription>, Failure> {
    let Some(uri) = &uri.key else { return Ok(keys) };
    let by_id = |key: &KeyDescription| uri.id().is_none_or(|id| id == key.id);
    keys.retain(|key| by_id(key) && uri.object().is_none_or(|label| label == key.label));
    if keys.is_empty() {
        return Err(Failure::not_found(format!("{}: key not found in the token", uri.name())));
    }
    Ok(keys)
}

/// What was found.
struct CheckReport {
    description: TokenDescription,
    mechanisms: Vec<String>,
    tests: Vec<KeyTest>,
    health: Health,
}

impl CheckReport {
    fn print(&self, ui: &Ui) -> Result<(), Failure> {
        if ui.json() {
            let mut all = members(&self.description);
            all.push(("login", json!("ok")));
            all.push(("mechanisms", json!(self.mechanisms)));
            all.push(("keys", self.tests.iter().map(as_json).collect()));
            all.push(("sessions", json!(self.health.pool_limit)));
            return ui.object(all);
        }
        ui.text(&text::members(&members(&self.description)))?;
        ui.text(&format!("login         ok, up to {} concurrent sessions\n", self.health.pool_limit))?;
        for (mechanism, purpose) in USED_MECHANISMS {
            if !self.mechanisms.iter().any(|listed| listed == mechanism) {
                ui.text(&format!("no mechanism  {mechanism} ({purpose})\n"))?;
            }
        }
        if self.tests.is_empty() {
            return ui.text("no keys\n");
        }
        let rows: Vec<_> = self.tests.iter().map(row).collect();
        ui.text(&text::table(["KID", "LABEL", "KIND", "STATE", "SIGNATURES/S"], &rows))
    }

    /// Unusable keys are an error only if the URI names one: a token may hold keys of other programs.
    fn verdict(&self, names_key: bool, ui: &Ui) -> Result<(), Failure> {
        let unusable = self.tests.iter().filter(|test| test.outcome.is_err()).count();
        if unusable == 0 {
            return Ok(());
        }
        if names_key {
            return Err(Failure::new("the key cannot be used: see its state"));
        }
        ui.note(&format!("taskseal cannot use {unusable} of the keys"));
        Ok(())
    }
}

const fn kind(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Signing => "signing",
        KeyKind::Agreement => "agreement",
        KeyKind::Mac => "mac",
        KeyKind::Wrapping => "wrapping",
        _ => "other",
    }
}

fn row(test: &KeyTest) -> [String; 5] {
    let (state, rate) = match &test.outcome {
        Ok(answer) => ("ok".to_owned(), answer.signatures_per_second),
        Err(error) => (error.to_string(), None),
    };
    let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
    let kid = test.key.kid.map_or_else(|| "-".to_owned(), |kid| kid.to_string());
    [kid, test.key.label.clone(), kind(test.key.kind).to_owned(), state, rate]
}

fn as_json(test: &KeyTest) -> Value {
    let key = &test.key;
    let mut members = vec![
        ("id", json!(hex(&key.id))),
        ("kid", json!(key.kid.map(|kid| kid.to_string()))),
        ("label", json!(key.label)),
        ("kind", json!(kind(key.kind))),
    ];
    match &test.outcome {
        Ok(answer) => {
            members.push(("state", json!("ok")));
            members.extend(answer.public.as_ref().map(|public| ("public", json!(public))));
            members.extend(answer.signatures_per_second.map(|rate| ("signatures_per_second", json!(rate))));
        }
        Err(error) => members.push(("state", json!(error.to_string()))),
    }
    json::nested(members)
}
