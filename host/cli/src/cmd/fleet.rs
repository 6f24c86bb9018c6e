//! `taskseal fleet`: shows what each running process works with, and whether they agree.

use serde_json::json;
use taskseal::fleet::{Member, Unproven, disagreements, members};
use taskseal::time::UnixMillis;

use crate::failure::Failure;
use crate::global::Global;
use crate::output::json;
use crate::output::text;
use crate::project;
use crate::session::Session;
use crate::ui::Ui;

/// Show what each running process works with, and whether all have the same keyset and policy
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal fleet ls --check")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the processes whose status is signed by a key of the keyset
    ///
    /// A worker publishes its status every 10 seconds, signed with the key of its results; a producer that runs for longer than that
    /// does so with the key of its tasks. A status that no key of the keyset has signed for its name is not listed: standard error has
    /// its reason. SEEN is the age of the status.
    #[command(after_help = "Example:\n  taskseal fleet ls --json")]
    Ls(Ls),
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Exit with 1 if the processes do not agree, or if none is listed
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let Command::Ls(args) = &args.command;
    let session = Session::connect(global)?;
    let keyset = project::keyset(&session.config)?;
    let found = session.block_on(members(&*session.broker, &keyset, &session.config.deployment));
    let found = found.map_err(|error| session.broker_failure(&error))?;
    let (genuine, unproven): (Vec<_>, Vec<_>) = found.iter().partition(|member| member.is_ok());
    let genuine: Vec<&Member> = genuine.into_iter().flatten().collect();
    for Unproven { kid, reason } in unproven.into_iter().filter_map(|member| member.as_ref().err()) {
        let key = kid.map_or_else(String::new, |kid| format!(" of key {kid}"));
        ui.warn(&format!("a status{key} proves nothing: {reason}"));
    }
    print(&genuine, ui)?;
    let differing = disagreements(&genuine);
    if !args.check {
        differing.iter().for_each(|subject| ui.warn(&format!("the processes differ in their {subject}")));
        return Ok(());
    }
    if genuine.is_empty() {
        return Err(Failure::new("no process has published a status")
            .hint("a worker does every 10 seconds; see its log, and the warnings above"));
    }
    if differing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("the processes differ in their {}", differing.join(", ")))
        .hint("bring the older processes up to date, then check again"))
}

const HEAD: [&str; 9] = ["ROLE", "NAME", "HOST", "PID", "VERSION", "KEYSET", "POLICY", "QUEUES", "SEEN"];

fn print(members: &[&Member], ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        return members.iter().try_for_each(|member| object(member, ui));
    }
    let rows: Vec<_> = members.iter().map(|member| row(member)).collect();
    ui.text(&text::table(HEAD, &rows))
}

fn row(Member { status, .. }: &Member) -> [String; 9] {
    let keyset = match status.sequence {
        Some(sequence) => format!("{sequence} {}", status.keyset),
        None => status.keyset.clone(),
    };
    let now = UnixMillis::now().as_secs();
    let seen = now.saturating_sub(i64::try_from(status.at).unwrap_or(now)).max(0);
    let modes = status.modes.iter().map(|(types, mode)| format!(" {types}={mode}"));
    [
        status.role.as_str().to_owned(),
        status.id.clone(),
        status.host.clone(),
        status.pid.to_string(),
        status.version.clone(),
        keyset,
        format!("{}{}", status.policy, modes.collect::<String>()),
        status.queues.join(" "),
        format!("{seen} s"),
    ]
}

fn object(Member { status, kid }: &Member, ui: &Ui) -> Result<(), Failure> {
    ui.object(vec![
        ("role", json!(status.role.as_str())),
        ("name", json!(status.id)),
        ("host", json!(status.host)),
        ("pid", json!(status.pid)),
        ("version", json!(status.version)),
        ("started_at", json::time(status.started_at)),
        ("seen_at", json::time(status.at)),
        ("kid", json!(kid.to_string())),
        ("sequence", json!(status.sequence)),
        ("keyset", json!(status.keyset)),
        ("policy", json!(status.policy)),
        ("modes", json!(status.modes)),
        ("queues", json!(status.queues)),
    ])
}
