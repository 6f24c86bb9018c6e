//! Which entries a command is about.

use std::time::Duration;

use taskseal::QueueName;
use taskseal::quarantine::{Disposition, EntryId, Filter};
use taskseal::time::UnixMillis;
use taskseal_core::{KeyId, Refusal};

use super::Store;
use crate::confirmation::confirm;
use crate::failure::Failure;
use crate::time_arg;
use crate::ui::Ui;

/// Filters. An entry must match all of them. Type, issuer and kid are as the queue and the envelope state, unverified.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(super) struct Filters {
    /// Only tasks with this refusal code
    #[arg(long)]
    code: Option<String>,
    /// Only tasks from this queue
    #[arg(long)]
    queue: Option<QueueName>,
    /// Only tasks whose envelope names this key
    #[arg(long, value_parser = kid)]
    kid: Option<KeyId>,
    /// Only tasks of this type, or of types with this prefix followed by `*`
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,
    /// Only tasks whose envelope states this issuer
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Only tasks in this state: held, archived, rescheduled or released
    #[arg(long, value_parser = state)]
    state: Option<Disposition>,
    /// Only tasks that were last refused at least this long ago
    #[arg(long, visible_alias = "older-than", value_name = "DURATION", value_parser = time_arg::duration)]
    older: Option<Duration>,
    /// Only tasks that were last refused at most this long ago
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    since: Option<Duration>,
}

/// Entries by number, or all that match filters.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Numbers of entries
    #[arg(value_name = "NUMBER")]
    numbers: Vec<i64>,
    #[command(flatten)]
    filters: Filters,
    /// All entries, without a filter
    #[arg(long, conflicts_with = "numbers")]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Filters {
    pub(super) fn filter(&self) -> Result<Filter, Failure> {
        if let Some(code) = self.code.as_deref().filter(|code| Refusal::from_code(code).is_none()) {
            let codes: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
            return Err(Failure::usage(format!("`{code}` is not a refusal code"))
                .hint(format!("one of {}", codes.join(", "))));
        }
        let now = UnixMillis::now();
        let ago = |age: Duration| {
            let millis = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            UnixMillis(now.0.saturating_sub(millis))
        };
        Ok(Filter {
            code: self.code.clone(),
            queue: self.queue.clone(),
            kid: self.kid.map(|kid| *kid.as_bytes()),
            task_type: self.task_type.clone(),
            issuer: self.issuer.clone(),
            disposition: self.state,
            seen_until: self.older.map(ago),
            seen_from: self.since.map(ago),
        })
    }
}

impl Selection {
    /// Returns whether entries are named by their numbers.
    pub(super) const fn names_entries(&self) -> bool {
        !self.numbers.is_empty()
    }

    /// Returns the entries to change, after asking about those that only filters name.
    pub(super) fn entries(&self, store: &Store<'_>, verb: &str, ui: &Ui) -> Result<Vec<EntryId>, Failure> {
        let has_filter = self.filters != Filters::default();
        if self.names_entries() {
            if has_filter {
                return Err(
                    Failure::usage("entries are named by number and by filters").hint("use one of them")
                );
            }
            return Ok(self.numbers.iter().map(|number| EntryId(*number)).collect());
        }
        if !has_filter && !self.all {
            return Err(Failure::usage("no entries are named")
                .hint("name numbers of `taskseal quarantine ls` or filters, or use --all"));
        }
        let filter = self.filters.filter()?;
        let ids = store.call(|quarantine| quarantine.ids(&filter))?;
        confirm(&format!("{verb} {} entries of the quarantine", ids.len()), ids.len(), self.yes, ui)?;
        Ok(ids)
    }
}

fn state(word: &str) -> Result<Disposition, String> {
    let words = || Disposition::ALL.map(Disposition::as_str).join(", ");
    Disposition::parse(word).ok_or_else(|| format!("one of {}", words()))
}

fn kid(text: &str) -> Result<KeyId, String> {
    let mut bytes = [0; KeyId::LEN];
    match base16ct::lower::decode(text, &mut bytes) {
        Ok(decoded) if decoded.len() == KeyId::LEN => Ok(KeyId::from_bytes(bytes)),
        _ => Err(format!("expected {} hex digits in lower case", 2 * KeyId::LEN)),
    }
}
