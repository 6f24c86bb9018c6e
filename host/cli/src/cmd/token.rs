//! `taskseal token`: lists PKCS#11 tokens, tests and adopts their keys, and generates keys that wrap files.

mod adopt;
mod check;
mod key_test;
mod wrapping_key;

use std::path::PathBuf;

use serde_json::json;
use taskseal::keys::pkcs11::MODULE_VARIABLE;
use taskseal_hsm::{KeyUri, Module, TokenDescription, TokenUri, softhsm};

use crate::failure::Failure;
use crate::key_summary::token_failure;
use crate::output::json::Member;
use crate::output::text;
use crate::ui::Ui;

/// List tokens, test and adopt their keys, and generate keys that wrap key files
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal token ls --module /usr/lib/softhsm/libsofthsm2.so\n  taskseal token check 'pkcs11:token=prod?pin-source=file:/run/pin'"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the tokens of a library, without login
    #[command(after_help = "Example:\n  taskseal token ls --module /usr/lib/softhsm/libsofthsm2.so --json")]
    Ls {
        /// PKCS#11 library [default: $TASKSEAL_PKCS11_MODULE, else SoftHSM]
        #[arg(long, value_name = "FILE")]
        module: Option<PathBuf>,
    },
    /// Log in and test every key, or the one that the URI names
    #[command(after_help = "Example:\n  taskseal token check 'pkcs11:token=prod?pin-source=file:/run/pin'")]
    Check(Box<check::Args>),
    /// Print the keyset entry of a key pair that exists already, and name what prevents its use
    #[command(
        after_help = "Example:\n  taskseal token adopt 'pkcs11:token=prod;id=%01?pin-source=file:/run/pin' --issuer shop --type 'invoice:*' --audience 'prod/*' >> keyset.toml"
    )]
    Adopt(Box<adopt::Args>),
    /// Generate a key that wraps key files and never leaves the token
    #[command(
        after_help = "Example:\n  taskseal token wrapping-key 'pkcs11:token=prod;object=kek?pin-source=file:/run/pin'"
    )]
    WrappingKey(Box<wrapping_key::Args>),
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    match &args.command {
        Command::Ls { module } => ls(module.clone(), ui),
        Command::Check(args) => check::run(args, ui),
        Command::Adopt(args) => adopt::run(args, ui),
        Command::WrappingKey(args) => wrapping_key::run(args, ui),
    }
}

/// A URI of a token, or of a key in it.
#[derive(Clone, Debug)]
struct Target {
    token: TokenUri,
    key: Option<KeyUri>,
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        match KeyUri::parse(text) {
            Ok(key) => Ok(Self { token: key.token_uri().clone(), key: Some(key) }),
            Err(taskseal_hsm::InvalidUri::NoKey) => TokenUri::parse(text)
                .map(|token| Self { token, key: None })
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn ls(module: Option<PathBuf>, ui: &Ui) -> Result<(), Failure> {
    let configured = || std::env::var_os(MODULE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let Some(path) = module.or_else(configured).or_else(softhsm::find_library) else {
        return Err(Failure::usage("the PKCS#11 library is missing").hint("name it with --module FILE"));
    };
    let failed = |error| token_failure(&error, &path.display().to_string());
    let tokens = Module::load(&path).and_then(|module| module.tokens()).map_err(failed)?;
    let tokens: Vec<_> = tokens.into_iter().filter(|token| token.initialized).collect();
    if ui.json() {
        return tokens.iter().try_for_each(|token| ui.object(members(token)));
    }
    let rows: Vec<_> = tokens.iter().map(row).collect();
    ui.text(&text::table(["TOKEN", "SERIAL", "MANUFACTURER", "MODEL", "PIN"], &rows))
}

fn row(token: &TokenDescription) -> [String; 5] {
    [
        token.label.clone(),
        token.serial.clone(),
        token.manufacturer.clone(),
        token.model.clone(),
        pin_state(token).to_owned(),
    ]
}

fn members(token: &TokenDescription) -> Vec<Member> {
    vec![
        ("token", json!(token.label)),
        ("serial", json!(token.serial)),
        ("manufacturer", json!(token.manufacturer)),
        ("model", json!(token.model)),
        ("pin", json!(pin_state(token))),
    ]
}

/// Returns the state of the PIN and its attempts.
const fn pin_state(token: &TokenDescription) -> &'static str {
    if token.pin_locked {
        "locked"
    } else if token.pin_final_try {
        "final-try"
    } else if token.pin_count_low {
        "count-low"
    } else if token.pin_initialized {
        "ok"
    } else {
        "not-set"
    }
}
