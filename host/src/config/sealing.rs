//! The fields that say how to seal, of `[client]` and of `[worker]`: which of them a suite needs.

use taskseal_core::Suite;

use super::context::Context;
use super::value::SuiteName;
use crate::file_error::FileError;
use crate::keys::{Kid, NamedRecipient, SealingSource};
use crate::toml_file::Spanned;

/// The fields of a section that say how to seal, with their names.
pub(super) struct Sealing<'s> {
    pub(super) section: &'static str,
    pub(super) key: (&'static str, &'s Spanned<String>),
    pub(super) recipient: (&'static str, Option<Spanned<Kid>>),
    pub(super) encryption_key: (&'static str, Option<Spanned<String>>),
}

impl Sealing<'_> {
    /// Checks that the fields are those of the suite.
    pub(super) fn check(
        self,
        context: &Context<'_>,
        suite: &Spanned<SuiteName>,
    ) -> Result<SealingSource, FileError> {
        let name = suite.get_ref().0;
        let place =
            |field: &str, key: &Spanned<String>| context.key(&format!("{}.{field}", self.section), key);
        let mut source = SealingSource::new(name, place(self.key.0, self.key.1)?);
        if let (field, Some(kid)) = self.recipient {
            if name != Suite::Sp {
                return Err(takes_none(context, name, field, &kid));
            }
            let named = NamedRecipient::new(kid.get_ref().0);
            source.recipient = Some(named.in_field(context.fault(&kid, "", "")));
        }
        let encryption_field = self.encryption_key.0;
        let key = field(context, suite, self.encryption_key, name == Suite::Se, ENCRYPTION_KEY)?;
        source.encryption_key = key.map(|key| place(encryption_field, &key)).transpose()?;
        Ok(source)
    }
}

const ENCRYPTION_KEY: &str = "the file of a shared A256GCM key";

/// Returns the value of a field that must be set if the suite `needs` it, and must not be set otherwise.
fn field<T>(
    context: &Context<'_>,
    suite: &Spanned<SuiteName>,
    (field, value): (&str, Option<Spanned<T>>),
    needs: bool,
    meaning: &str,
) -> Result<Option<Spanned<T>>, FileError> {
    let name = suite.get_ref().0;
    match value {
        None if needs => {
            let message = format!("suite {name} needs `{field}`");
            Err(context.fault(suite, message, format!("set it to {meaning}")))
        }
        Some(value) if !needs => Err(takes_none(context, name, field, &value)),
        value => Ok(value),
    }
}

fn takes_none<T>(context: &Context<'_>, suite: Suite, field: &str, value: &Spanned<T>) -> FileError {
    let message = format!("suite {suite} takes no `{field}`");
    context.fault(value, message, "remove it, or choose another suite")
}
