//! `taskseal token`: what is in PKCS#11 tokens, whether it works, and keys that wrap files.

mod check;
mod wrapping_key;

use std::path::PathBuf;

use serde_json::json;
use taskseal::keys::pkcs11::MODULE_VARIABLE;
use taskseal_hsm::{KeyUri, Module, TokenDescription, TokenUri, softhsm};

use super::made::token_failed;
use super::show;
use crate::ui::{Failure, Ui};

/// Look at tokens, try their keys, and make those that wrap key files
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
    /// List the tokens of a library; nobody logs in
    #[command(after_help = "Example:\n  taskseal token ls --module /usr/lib/softhsm/libsofthsm2.so --json")]
    Ls {
        /// The PKCS#11 library [default: $TASKSEAL_PKCS11_MODULE, else that of SoftHSM]
        #[arg(long, value_name = "FILE")]
        module: Option<PathBuf>,
    },
    /// Log in, look at the keys, and have each sign or agree; of one key, if the URI names one
    #[command(after_help = "Example:\n  taskseal token check 'pkcs11:token=prod?pin-source=file:/run/pin'")]
    Check(Box<check::Args>),
    /// Make a key that wraps key files and never leaves the token
    #[command(
        after_help = "Example:\n  taskseal token wrapping-key 'pkcs11:token=prod;object=kek?pin-source=file:/run/pin'"
    )]
    WrappingKey(Box<wrapping_key::Args>),
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), Failure> {
    match &args.command {
        Command::Ls { module } => ls(module.clone(), ui),
        Command::Check(args) => check::run(args, ui),
        Command::WrappingKey(args) => wrapping_key::run(args, ui),
    }
}

/// A URI that may name a key of the token.
#[derive(Clone, Debug)]
struct Name {
    token: TokenUri,
    key: Option<KeyUri>,
}

impl Name {
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
        return Err(Failure::usage("no pkcs#11 library").hint("name one: --module FILE"));
    };
    let failed = |error| token_failed(&error, &path.display().to_string());
    let tokens = Module::load(&path).and_then(|module| module.tokens()).map_err(failed)?;
    let tokens: Vec<_> = tokens.into_iter().filter(|token| token.initialized).collect();
    if ui.json() {
        return tokens.iter().try_for_each(|token| ui.object(members(token)));
    }
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            [
                token.label.clone(),
                token.serial.clone(),
                token.manufacturer.clone(),
                token.model.clone(),
                pin_state(token).to_owned(),
            ]
        })
        .collect();
    ui.text(&show::table(["TOKEN", "SERIAL", "MANUFACTURER", "MODEL", "PIN"], &rows))
}

fn members(token: &TokenDescription) -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("token", json!(token.label)),
        ("serial", json!(token.serial)),
        ("manufacturer", json!(token.manufacturer)),
        ("model", json!(token.model)),
        ("pin", json!(pin_state(token))),
    ]
}

/// What is left of the attempts at the PIN.
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
