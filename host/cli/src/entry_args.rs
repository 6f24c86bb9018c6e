//! Options of the commands that print a keyset entry, and what they do with it.

use std::path::{Path, PathBuf};

use serde_json::json;
use taskseal::keys::{Algorithm, append_entry, check_appendable, is_pattern};
use taskseal::time::UnixMillis;
use taskseal_core::Kind;
use taskseal_core::keyset::signed::KeyState;

use crate::failure::Failure;
use crate::key_summary::KeySummary;
use crate::keyset_entry::{Entry, KeyTimes};
use crate::output::json::{self, Member};
use crate::time_arg;
use crate::ui::Ui;

/// Options of every keyset entry.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Keyset entry")]
pub(crate) struct EntryArgs {
    /// What the key seals or decrypts
    #[arg(long, value_name = "KIND", default_value = "task", value_parser = ["task", "result"])]
    r#use: String,
    /// Name of the key in the keyset, for people
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Whether the key seals at once (primary), or is only made known to verifiers for now (staged)
    #[arg(long, value_name = "STATE", default_value = "primary", value_parser = new_state)]
    state: KeyState,
    /// Time from which the key seals: 2030-01-31, 2030-01-31T08:00:00Z, or 30d from now
    #[arg(long, value_name = "TIME", value_parser = time_arg::instant_or_from_now)]
    use_from: Option<UnixMillis>,
    /// Time from which the key no longer seals: 2030-01-31 (its first second, UTC), 2030-01-31T08:00:00Z, or 365d from now
    #[arg(long, value_name = "TIME", value_parser = time_arg::instant_or_from_now)]
    sign_until: Option<UnixMillis>,
    /// Time from which nothing is accepted that the key sealed
    #[arg(long, value_name = "TIME", value_parser = time_arg::instant_or_from_now)]
    accept_until: Option<UnixMillis>,
    /// Keyset file to which the entry is also appended; it must exist
    #[arg(long, value_name = "KEYSET")]
    append: Option<PathBuf>,
}

/// Options that limit what a key may seal.
#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Rights, required for a key that authenticates, optional for one that decrypts"
)]
pub(crate) struct RightsArgs {
    /// Issuer that the key may use, or whose tasks or results are encrypted to it; may be repeated; '*' is every issuer
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    issuer: Vec<String>,
    /// Task type that the key may seal, or that is encrypted to it, such as 'invoice:*'; may be repeated
    #[arg(long = "type", value_name = "PATTERN", value_parser = pattern)]
    types: Vec<String>,
    /// Audience (deployment/queue) that the key may seal for, or whose tasks or results are encrypted to it, such as 'prod/*'; may
    /// be repeated
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    audience: Vec<String>,
}

/// Patterns of issuers, types and audiences.
pub(crate) type Rights = [Vec<String>; 3];

fn pattern(text: &str) -> Result<String, String> {
    if is_pattern(text) {
        return Ok(text.to_owned());
    }
    Err("expected a name, or the start of one followed by `*`, in printable ASCII without spaces".to_owned())
}

fn new_state(text: &str) -> Result<KeyState, String> {
    let allowed = [KeyState::Primary, KeyState::Staged];
    allowed
        .into_iter()
        .find(|state| state.name() == text)
        .ok_or_else(|| "expected primary or staged".to_owned())
}

impl RightsArgs {
    /// Returns the rights of a key that authenticates. All three are needed: an entry that allows everything says so.
    pub(crate) fn required(&self) -> Result<Rights, Failure> {
        let rights = self.rights();
        let names = ["--issuer", "--type", "--audience"];
        let missing = names.iter().zip(&rights).filter(|(_, patterns)| patterns.is_empty());
        let missing: Vec<_> = missing.map(|(name, _)| *name).collect();
        if missing.is_empty() {
            return Ok(rights);
        }
        Err(Failure::usage(format!("the rights of the key are missing: {}", missing.join(", ")))
            .hint("name what the key may seal; the pattern '*' allows everything"))
    }

    /// Checks that there are no rights. `key` completes the sentence.
    pub(crate) fn refused(&self, key: &str) -> Result<(), Failure> {
        if self.rights().iter().all(Vec::is_empty) {
            return Ok(());
        }
        Err(Failure::usage(format!("{key} authenticates nothing"))
            .hint("omit --issuer, --type and --audience"))
    }

    /// Returns the rights of a key that exists. A key of A256GCM without rights is one of suite SE, which authenticates
    /// nothing. A key that decrypts needs no rights: without them, a configuration names it as the recipient.
    pub(crate) fn of(&self, algorithm: Algorithm) -> Result<Option<Rights>, Failure> {
        match algorithm {
            Algorithm::EcdhEs | Algorithm::A256Gcm if self.rights().iter().all(Vec::is_empty) => Ok(None),
            _ => self.required().map(Some),
        }
    }

    fn rights(&self) -> Rights {
        [&self.issuer, &self.types, &self.audience].map(Clone::clone)
    }
}

impl EntryArgs {
    /// Checks what can be checked before the key is generated.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (option, end) in [("--sign-until", self.sign_until), ("--accept-until", self.accept_until)] {
            let Some(end) = end else { continue };
            if end <= UnixMillis::now() {
                return Err(Failure::usage("the key would have expired already")
                    .hint(format!("set {option} to a time in the future")));
            }
            if self.use_from.is_some_and(|from| end <= from) {
                return Err(Failure::usage("the key would never seal")
                    .hint(format!("set {option} to a time after --use-from")));
            }
        }
        if let (Some(sign), Some(accept)) = (self.sign_until, self.accept_until)
            && sign > accept
        {
            return Err(Failure::usage("what the key seals last would be refused")
                .hint("set --accept-until to a time after --sign-until"));
        }
        self.append.as_deref().map_or(Ok(()), |keyset| check_appendable(keyset).map_err(Failure::config))
    }

    const fn times(&self) -> KeyTimes {
        KeyTimes { use_from: self.use_from, sign_until: self.sign_until, accept_until: self.accept_until }
    }

    /// Returns what the key seals or decrypts.
    pub(crate) fn kind(&self) -> Kind {
        if self.r#use == "result" { Kind::Result } else { Kind::Task }
    }

    /// Returns what the comment in a key file says of its purpose.
    pub(crate) fn purpose(&self) -> String {
        format!("{}s", self.r#use)
    }

    /// Prints the entry of a key, and appends it to the keyset if that is wanted. With `--json` the entry is a member of the
    /// object, beside those that describe the key.
    pub(crate) fn finish(&self, key: &KeySummary, rights: Option<Rights>, ui: &Ui) -> Result<(), Failure> {
        let entry = self.entry(key, rights);
        if ui.json() {
            ui.object(members(key, self.kind(), &entry))?;
        } else {
            ui.text(&entry)?;
        }
        let Some(keyset) = &self.append else { return Ok(()) };
        append_entry(keyset, &entry).map_err(Failure::config).map_err(|failure| {
            let message = format!("the entry was not appended: {}", failure.message);
            Failure { message, ..failure }
        })?;
        ui.note(&format!("appended the entry to {}", keyset.display()));
        Ok(())
    }

    fn entry(&self, key: &KeySummary, rights: Option<Rights>) -> String {
        let (kind, label) = (self.kind(), self.label.as_deref());
        let (state, times) = (self.state, self.times());
        let entry = |key| Entry { key, kind, label, rights, state, times }.to_toml();
        match &self.append {
            // The keyset names the file of a shared key relative to its own folder.
            Some(keyset) if key.point.is_none() => {
                entry(&KeySummary { location: relative_to_keyset(&key.location, keyset), ..key.clone() })
            }
            _ => entry(key),
        }
    }
}

/// Returns the path of a key file as a keyset file names it: relative if it is in the folder of the keyset or below it.
pub(crate) fn relative_to_keyset(location: &str, keyset: &Path) -> String {
    let folder = keyset.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(file), Ok(folder)) = (Path::new(location).canonicalize(), folder.canonicalize()) else {
        return location.to_owned();
    };
    file.strip_prefix(&folder).unwrap_or(&file).to_string_lossy().into_owned()
}

fn members(key: &KeySummary, kind: Kind, entry: &str) -> Vec<Member> {
    let mut members = vec![
        ("kid", json!(key.kid.to_string())),
        ("alg", json!(key.algorithm.name())),
        ("use", json!(json::kind(kind))),
        (key.member(), json!(key.location)),
    ];
    members.extend(key.public().map(|public| ("public", json!(public))));
    members.push(("entry", json!(entry)));
    members
}
