//! The fields that say how to seal, of `[client]` and of `[worker]`: which of them a suite needs.

use taskseal_core::{KeyId, Suite};

use super::context::Context;
use super::value::SuiteName;
use crate::file_error::FileError;
use crate::keys::{Kid, SealingSource};
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
        let recipient = field(context, suite, self.recipient, name == Suite::Sp, RECIPIENT)?;
        source.recipient = recipient.map(|kid| -> KeyId { kid.get_ref().0 });
        let encryption_field = self.encryption_key.0;
        let key = field(context, suite, self.encryption_key, name == Suite::Se, ENCRYPTION_KEY)?;
        source.encryption_key = key.map(|key| place(encryption_field, &key)).transpose()?;
        Ok(source)
    }
}

const RECIPIENT: &str = "the kid of an ECDH-ES key of the keyset";
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
        Some(value) if !needs => {
            let message = format!("suite {name} takes no `{field}`");
            Err(context.fault(&value, message, "remove it, or choose another suite"))
        }
        value => Ok(value),
    }
}
