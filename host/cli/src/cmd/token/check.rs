//! `taskseal token check`: a login, the keys and their attributes, the mechanisms, and how fast the token signs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::Digest;
use taskseal::keys::public_text;
use taskseal_hsm::{EcKey, Error, KeyDescription, KeyKind, KeySelector, MacKey, Token, Usage, WrappingKey};

use super::{Name, members};
use crate::cmd::made::{open, token_failed};
use crate::cmd::show;
use crate::ui::{Failure, Ui};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The token, or one key of it
    #[arg(value_name = "URI", value_parser = Name::parse)]
    uri: Name,
}

/// What taskseal has use for.
const WANTED: [(&str, &str); 5] = [
    ("CKM_EC_KEY_PAIR_GEN", "to make keys"),
    ("CKM_ECDSA", "to sign"),
    ("CKM_ECDH1_DERIVE", "to decrypt"),
    ("CKM_SHA256_HMAC", "for shared keys of suite M"),
    ("CKM_AES_KEY_WRAP", "to wrap key files"),
];

/// How long signatures are counted for.
const TRIAL: Duration = Duration::from_secs(1);
/// Most signatures of a trial.
const MOST: u32 = 2000;

/// One key and what became of its trial.
struct Tried {
    key: KeyDescription,
    outcome: Result<Answer, Error>,
}

#[derive(Default)]
struct Answer {
    /// Of keys that have one.
    public: Option<String>,
    /// Signatures a second, of keys that sign.
    rate: Option<f64>,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    let name = args.uri.token.name().to_string();
    let failed = |error: Error| token_failed(&error, &name);
    let (token, _) = open(&args.uri.token)?;
    let description = token.description().map_err(failed)?;
    let mechanisms = token.mechanisms().map_err(failed)?;
    let mut keys = token.keys().map_err(failed)?;
    if let Some(uri) = &args.uri.key {
        let by_id = |key: &KeyDescription| uri.id().is_none_or(|id| id == key.id);
        keys.retain(|key| by_id(key) && uri.object().is_none_or(|label| label == key.label));
        if keys.is_empty() {
            return Err(Failure::not_found(format!("{}: no such key in the token", uri.name())));
        }
    }
    let tried: Vec<Tried> = keys.into_iter().map(|key| try_key(&token, key)).collect();
    let health = token.health();
    let missing: Vec<_> =
        WANTED.iter().filter(|(name, _)| !mechanisms.iter().any(|listed| listed == name)).collect();

    if ui.json() {
        let mut all = members(&description);
        all.push(("login", json!("ok")));
        all.push(("mechanisms", json!(mechanisms)));
        all.push(("keys", tried.iter().map(as_json).collect()));
        all.push(("sessions", json!(health.pool_limit)));
        ui.object(all)?;
    } else {
        ui.text(&show::lines(&members(&description)))?;
        ui.text(&format!("login         ok, up to {} sessions at once\n", health.pool_limit))?;
        for (mechanism, purpose) in &missing {
            ui.text(&format!("no mechanism  {mechanism} ({purpose})\n"))?;
        }
        let rows: Vec<_> = tried.iter().map(row).collect();
        if rows.is_empty() {
            ui.text("no keys\n")?;
        } else {
            ui.text(&show::table(["KID", "LABEL", "KIND", "STATE", "SIGNATURES/S"], &rows))?;
        }
    }
    let broken = tried.iter().filter(|tried| tried.outcome.is_err()).count();
    match broken {
        0 => Ok(()),
        // Keys of somebody else are nobody's fault, but who asks for one key wants to know.
        _ if args.uri.key.is_none() => {
            ui.note(&format!("{broken} of the keys cannot be used by taskseal"));
            Ok(())
        }
        _ => Err(Failure::new("the key cannot be used: see its state")),
    }
}

/// Loading a key makes it prove itself: it signs, agrees, authenticates or wraps, and the host checks the answer.
fn try_key(token: &Token, key: KeyDescription) -> Tried {
    let selector = match key.kid() {
        Some(kid) => KeySelector::kid(kid),
        None => KeySelector::label(&key.label),
    };
    let public = |loaded: &EcKey| Some(public_text(&loaded.public_point()));
    let outcome = match key.kind {
        KeyKind::Signing => EcKey::load(token, &selector, Usage::Sign)
            .and_then(|loaded| Ok(Answer { public: public(&loaded), rate: Some(rate(&loaded)?) })),
        KeyKind::Agreement => EcKey::load(token, &selector, Usage::Agree)
            .map(|loaded| Answer { public: public(&loaded), rate: None }),
        KeyKind::Mac => MacKey::load(token, &selector).map(|_| Answer::default()),
        KeyKind::Wrapping => WrappingKey::load(token, &selector).map(|_| Answer::default()),
        _ => key.defect.map_or_else(|| Ok(Answer::default()), |defect| Err(defect.into())),
    };
    Tried { key, outcome }
}

/// Signatures a second by one caller. What is signed is the digest of nothing that could be a task.
fn rate(key: &EcKey) -> Result<f64, Error> {
    let started = Instant::now();
    let mut made = 0;
    while made < MOST && started.elapsed() < TRIAL {
        let digest =
            sha2::Sha256::new_with_prefix(b"taskseal token check\0").chain_update(made.to_be_bytes());
        key.sign_digest(&digest.finalize().into())?;
        made += 1;
    }
    Ok(f64::from(made) / started.elapsed().as_secs_f64())
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

fn id(key: &KeyDescription) -> String {
    base16ct::lower::encode_string(&key.id)
}

fn row(tried: &Tried) -> [String; 5] {
    let (state, rate) = match &tried.outcome {
        Ok(answer) => ("ok".to_owned(), answer.rate),
        Err(error) => (error.to_string(), None),
    };
    let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
    [id(&tried.key), tried.key.label.clone(), kind(tried.key.kind).to_owned(), state, rate]
}

fn as_json(tried: &Tried) -> Value {
    let key = &tried.key;
    let mut members =
        vec![("id", json!(id(key))), ("label", json!(key.label)), ("kind", json!(kind(key.kind)))];
    match &tried.outcome {
        Ok(answer) => {
            members.push(("state", json!("ok")));
            members.extend(answer.public.as_ref().map(|public| ("public", json!(public))));
            members.extend(answer.rate.map(|rate| ("signatures_per_second", json!(rate))));
        }
        Err(error) => members.push(("state", json!(error.to_string()))),
    }
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
