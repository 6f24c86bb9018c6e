//! `taskseal keyset`: the keyset of a deployment, from the draft to the signed file that hosts fetch.

mod add;
mod change;
mod describe;
mod draft;
mod fleet;
mod init;
mod next_step;
mod publish;
mod root;
pub(super) mod rotate;
mod sign;
mod signed;
mod verify;

use taskseal::audit::{KeysetChange, OperatorAction};
use taskseal_core::KeyId;

use crate::failure::Failure;
use crate::global::Global;
use crate::trail::Trail;
use crate::ui::Ui;

/// Keep the keyset of a deployment: add and replace keys, sign it, and publish it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal keyset init --name prod --root root.key\n  taskseal keygen sign --out shop.key --issuer shop --type '*' --audience 'prod/*' | taskseal keyset add - --state primary\n  taskseal keyset sign --root root.key\n  taskseal keyset show"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create the draft of a keyset that is signed, and its root key
    ///
    /// Prints the line to pin on every host.
    #[command(after_help = "Example:\n  taskseal keyset init --name prod --root root.key")]
    Init(init::Args),
    /// Show the keys of a draft or a signed keyset, what comes next for each, and when
    #[command(after_help = "Example:\n  taskseal keyset show\n  taskseal keyset show keyset.cose")]
    Show(describe::Args),
    /// Add entries that `taskseal keygen` printed
    #[command(
        after_help = "Example:\n  taskseal keygen sign --out new.key --issuer shop --type '*' --audience 'prod/*' | taskseal keyset add -"
    )]
    Add(add::Args),
    /// Let a staged key seal, and retire the key that it replaces
    #[command(after_help = "Example:\n  taskseal keyset activate 1d7e0ba4f5d96f43")]
    Activate(change::activate::Args),
    /// Stop sealing with a key; what it sealed is accepted until it has arrived
    #[command(after_help = "Example:\n  taskseal keyset retire 1d7e0ba4f5d96f43")]
    Retire(change::ChangeArgs),
    /// Stop accepting what a key sealed; `enable` reverts it
    #[command(after_help = "Example:\n  taskseal keyset disable 1d7e0ba4f5d96f43")]
    Disable(change::ChangeArgs),
    /// Accept a disabled key again
    #[command(after_help = "Example:\n  taskseal keyset enable 1d7e0ba4f5d96f43 --state retiring")]
    Enable(change::EnableArgs),
    /// Refuse everything that a disclosed key sealed, whenever it did
    #[command(after_help = "Example:\n  taskseal keyset revoke 1d7e0ba4f5d96f43")]
    Revoke(change::ChangeArgs),
    /// Reduce a disabled or revoked key to its kid; then its private key can be erased
    #[command(after_help = "Example:\n  taskseal keyset destroy 1d7e0ba4f5d96f43")]
    Destroy(change::ChangeArgs),
    /// Remove the entry of a destroyed key
    #[command(after_help = "Example:\n  taskseal keyset remove 1d7e0ba4f5d96f43")]
    Remove(change::ChangeArgs),
    /// Sign the draft with the next sequence number
    #[command(
        after_help = "Example:\n  taskseal keyset sign --root root.key\n  taskseal keyset sign --root 'pkcs11:token=root;object=root?pin-source=file:/run/pin'"
    )]
    Sign(sign::Args),
    /// Verify a signed keyset as a host does
    #[command(
        after_help = "Example:\n  taskseal keyset verify keyset.cose\n  taskseal keyset verify keyset.cose --name prod --roots BIZ2…"
    )]
    Verify(verify::Args),
    /// Verify the signed keyset, and copy it to where hosts fetch it
    #[command(after_help = "Example:\n  taskseal keyset publish --to /srv/www/keyset.cose")]
    Publish(publish::Args),
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let Some((change, kid)) = args.command.recorded() else { return dispatch(args, global, ui) };
    let trail = Trail::of_command(global, ui)?;
    let kid = kid.map(|kid| kid.to_string());
    let action = trail.begin(OperatorAction::Keyset { change, kid })?;
    action.end(dispatch(args, global, ui))
}

impl Command {
    /// Returns what the audit log records; `None` for a command that changes nothing.
    fn recorded(&self) -> Option<(KeysetChange, Option<KeyId>)> {
        let of_key = |change, args: &change::ChangeArgs| args.changed_key().map(|kid| (change, Some(kid)));
        let unless = |dry_run: bool, change| (!dry_run).then_some((change, None));
        match self {
            Self::Show(_) | Self::Verify(_) => None,
            Self::Init(_) => unless(false, KeysetChange::Init),
            Self::Add(args) => unless(args.dry_run, KeysetChange::Add),
            Self::Activate(args) => of_key(KeysetChange::Activate, &args.change),
            Self::Retire(args) => of_key(KeysetChange::Retire, args),
            Self::Disable(args) => of_key(KeysetChange::Disable, args),
            Self::Enable(args) => of_key(KeysetChange::Enable, &args.change),
            Self::Revoke(args) => of_key(KeysetChange::Revoke, args),
            Self::Destroy(args) => of_key(KeysetChange::Destroy, args),
            Self::Remove(args) => of_key(KeysetChange::Remove, args),
            Self::Sign(args) => unless(args.dry_run, KeysetChange::Sign),
            Self::Publish(args) => unless(args.dry_run, KeysetChange::Publish),
        }
    }
}

fn dispatch(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    match &args.command {
        Command::Init(args) => init::run(args, ui),
        Command::Show(args) => describe::run(args, global, ui),
        Command::Add(args) => add::run(args, ui),
        Command::Activate(args) => change::activate::run(args, global, ui),
        Command::Retire(args) => change::retire(args, ui),
        Command::Disable(args) => change::disable::run(args, ui),
        Command::Enable(args) => change::enable(args, ui),
        Command::Revoke(args) => change::revoke(args, ui),
        Command::Destroy(args) => change::destroy::run(args, global, ui),
        Command::Remove(args) => change::remove(args, ui),
        Command::Sign(args) => sign::run(args, ui),
        Command::Verify(args) => verify::run(args, global, ui),
        Command::Publish(args) => publish::run(args, global, ui),
    }
}
