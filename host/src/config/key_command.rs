//! The programs that fetch secrets: the sections `[key_command.NAME]`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::program::absolute;
use super::value::Seconds;
use crate::file_error::FileError;
use crate::keys::{CommandSource, KeyCommand, relative_to};
use crate::toml_file::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyCommandSection {
    program: Spanned<Vec<String>>,
    timeout: Option<Seconds<1, 300>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    pass_env: Vec<String>,
}

/// Default time limit of one run.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the source of `exec:` secrets. The programs are checked when they are run.
pub(super) fn source(
    sections: BTreeMap<String, KeyCommandSection>,
    file: &Path,
    text: &str,
) -> Result<CommandSource, FileError> {
    let commands = sections.into_iter().map(|(name, section)| Ok((name, section.check(file, text)?)));
    commands.collect::<Result<_, FileError>>().map(CommandSource::new)
}

impl KeyCommandSection {
    fn check(self, file: &Path, text: &str) -> Result<KeyCommand, FileError> {
        let fault = |message: &str| {
            FileError::new(file, message)
                .hint("write a list of the path of the program and its arguments: [\"/usr/bin/vault\", \"kv\", …]")
                .at(text, self.program.start())
        };
        let mut program = self.program.get_ref().clone();
        match program.first_mut() {
            // Which program is found in `PATH` would depend on the environment.
            Some(path) if !path.contains('/') => return Err(fault("the program is not a path")),
            Some(path) => {
                let full = absolute(&relative_to(file, path)).into_os_string().into_string();
                *path = full.map_err(|_| fault("the path of this program is not UTF-8"))?;
            }
            None => return Err(fault("no program")),
        }
        Ok(KeyCommand {
            program,
            timeout: self.timeout.map_or(TIMEOUT, Duration::from),
            env: self.env,
            pass_env: self.pass_env,
            working_dir: absolute(&relative_to(file, ".")),
        })
    }
}
