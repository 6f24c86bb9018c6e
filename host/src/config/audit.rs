//! Section `[audit]`: the audit log.

use serde::Deserialize;

use super::context::Context;
use super::value::{Count, DAY, Seconds, Size};
use crate::audit::{AuditSettings, parse_public_key};
use crate::file_error::FileError;
use crate::keys::relative_to;
use crate::toml_file::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditSection {
    file: Option<String>,
    required: Option<bool>,
    key: Option<Spanned<String>>,
    #[serde(default)]
    public: Vec<Spanned<String>>,
    checkpoint_lines: Option<Count<1, 1_000_000>>,
    checkpoint_every: Option<Seconds<1, DAY>>,
    max_size: Option<Size<{ 1 << 20 }, { 1 << 40 }>>,
    keep: Option<Count<1, 100_000>>,
    refusals_per_minute: Option<Count<1, 100_000>>,
}

impl AuditSection {
    /// Returns the settings of the log. By default it is in `state_dir`, the folder of `[state]`.
    pub(super) fn check(
        self,
        context: &Context<'_>,
        deployment: &str,
        state_dir: &std::path::Path,
    ) -> Result<AuditSettings, FileError> {
        let file = self.file.as_deref().map(|file| relative_to(context.file, file));
        let file = file.unwrap_or_else(|| state_dir.join("audit.jsonl"));
        let mut settings = AuditSettings::new(file, deployment);
        settings.key = self.key.map(|key| context.key("audit.key", &key)).transpose()?;
        for public in &self.public {
            let key = parse_public_key(public.get_ref()).ok_or_else(|| {
                let hint = "write what `taskseal keygen audit` printed: 87 characters in base64url";
                context.fault(public, "not the public key of an ES256 key", hint)
            })?;
            settings.public.push(key);
        }
        set(&mut settings.required, self.required);
        set(&mut settings.checkpoint_lines, self.checkpoint_lines);
        set(&mut settings.checkpoint_every, self.checkpoint_every);
        set(&mut settings.max_size, self.max_size);
        set(&mut settings.keep, self.keep);
        set(&mut settings.refusals_per_minute, self.refusals_per_minute);
        Ok(settings)
    }
}

fn set<T>(setting: &mut T, value: Option<impl Into<T>>) {
    if let Some(value) = value {
        *setting = value.into();
    }
}
