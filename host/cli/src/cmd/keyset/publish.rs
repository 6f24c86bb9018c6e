//! `taskseal keyset publish`: copies the signed keyset to where hosts fetch it.

use std::path::{Path, PathBuf};

use serde_json::json;
use taskseal::config::{BrokerConfig, Config, KeysetCarrier, KeysetServer};
use taskseal::file_security;
use taskseal::time::unix_seconds;

use super::signed;
use super::verify::{Pinned, PinnedArgs, verified};
use crate::failure::Failure;
use crate::global::Global;
use crate::project;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Signed keyset
    #[arg(value_name = "FILE", default_value = "keyset.cose")]
    file: PathBuf,
    /// File that hosts read, or that a server delivers to them; it is replaced atomically. `broker:` is the Redis of [broker]. A URL is
    /// stored with the method PUT
    #[arg(long, value_name = "FILE|URL|broker:")]
    to: PathBuf,
    #[command(flatten)]
    pinned: PinnedArgs,
    /// Verify it, and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let bytes = signed::read(&args.file)?;
    let pinned = args.pinned.of(&args.file, global, ui)?;
    let keyset = verified(&args.file, &bytes, &pinned, ui)?;
    let carrier = Carrier::of(args, global)?;
    check_newer(args, carrier.read()?.as_deref(), &bytes, &pinned)?;
    if !args.dry_run {
        carrier.write(&bytes)?;
    }
    let to = args.to.display();
    if ui.json() {
        let mut members = signed::members(&keyset);
        members.extend([("to", json!(to.to_string())), ("dry_run", json!(args.dry_run))]);
        return ui.object(members);
    }
    let verb = if args.dry_run { "would be published" } else { "published" };
    ui.note(&format!("keyset {} {verb} to {to}", keyset.sequence()));
    Ok(())
}

/// The place from which hosts fetch the keyset.
enum Carrier<'a> {
    File(&'a Path),
    Redis(Box<Config>),
    Server(KeysetServer),
}

impl<'a> Carrier<'a> {
    fn of(args: &'a Args, global: &Global) -> Result<Self, Failure> {
        if args.to == Path::new("broker:") {
            let config = project::config(global)?;
            if !matches!(config.broker, BrokerConfig::Redis(_)) {
                return Err(Failure::usage("`broker.url` is not a Redis, which alone carries a keyset")
                    .hint("name the file that hosts read with --to"));
            }
            return Ok(Self::Redis(Box::new(config)));
        }
        match args.to.to_str().filter(|to| to.contains("://")) {
            Some(url) => server(url, global).map(Self::Server),
            None => Ok(Self::File(&args.to)),
        }
    }

    /// Returns what hosts fetch now.
    fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::File(file) => signed::read_if_present(file),
            Self::Redis(config) => config.published_keyset().map_err(Failure::keyring),
            Self::Server(server) => server.published().map_err(Failure::keyring),
        }
    }

    fn write(&self, keyset: &[u8]) -> Result<(), Failure> {
        match self {
            // Public: it contains no secret, and its signature protects it.
            Self::File(file) => file_security::replace_durably(file, keyset, 0o644).map_err(Failure::file),
            Self::Redis(config) => config.publish_keyset(keyset).map_err(Failure::keyring),
            Self::Server(server) => server.publish(keyset).map_err(Failure::keyring),
        }
    }
}

/// Returns the server of a URL, as the configuration trusts it if hosts fetch the keyset there.
fn server(url: &str, global: &Global) -> Result<KeysetServer, Failure> {
    if Config::locate(global.config.as_deref()).exists()
        && let Some(KeysetCarrier::Server(server)) = project::config(global)?.keyset_carrier
        && server.url() == url
    {
        return Ok(server);
    }
    KeysetServer::new(url, None, false).map_err(|invalid| {
        let (message, hint) = invalid.message();
        Failure::usage(format!("{url}: {message}")).hint(hint)
    })
}

/// Checks that the keyset that hosts fetch is not replaced by an older one, or by one of another history.
fn check_newer(args: &Args, present: Option<&[u8]>, bytes: &[u8], pinned: &Pinned) -> Result<(), Failure> {
    let Some(present) = present else { return Ok(()) };
    let roots = pinned.roots()?;
    // Any user may have write access there: what does not verify is replaced.
    let Ok(present) = signed::verify_at_any_time(&args.to, present, &roots) else { return Ok(()) };
    signed::verify(&args.file, bytes, &roots, Some(&present.checkpoint()), unix_seconds()).map(drop)
}
