//! The record of the last signed keyset, beside the draft: `SEQUENCE DIGEST` on one line, the digest in hexadecimal.

use std::fs;
use std::io;
use std::path::Path;

use taskseal::file_error::FileError;
use taskseal::file_security;
use taskseal_core::keyset::signed::Checkpoint;

use crate::failure::Failure;
use crate::output::json::hex;

/// Reads a checkpoint; `None` if there is no such file.
pub(in crate::cmd::keyset) fn read(path: &Path) -> Result<Option<Checkpoint>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).map(Some).ok_or_else(|| {
            Failure::new(format!("{}: not the checkpoint of a keyset", path.display()))
                .hint("restore it from a backup; or remove it and name the last signed keyset with `sign --last FILE`")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file(FileError::io(path, "cannot be read", &error))),
    }
}

fn parse(text: &str) -> Option<Checkpoint> {
    let (sequence, digest) = text.strip_suffix('\n').unwrap_or(text).split_once(' ')?;
    let mut bytes = [0; Checkpoint::LEN];
    let (number, rest) = bytes.split_at_mut(8);
    number.copy_from_slice(&sequence.parse::<u64>().ok()?.to_be_bytes());
    (base16ct::lower::decode(digest, rest).ok()?.len() == 32).then_some(())?;
    Checkpoint::from_bytes(&bytes).ok()
}

/// Replaces a checkpoint, durably.
pub(super) fn write(path: &Path, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let text = format!("{} {}\n", checkpoint.sequence(), hex(checkpoint.digest()));
    file_security::replace_durably(path, text.as_bytes(), 0o644).map_err(Failure::file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_checkpoint_is_refused_and_an_undamaged_one_is_read_as_it_was_written() {
        let digest = "ab".repeat(32);
        for text in [
            "",
            "0",
            &digest,
            &format!("0 {digest}\n"),
            "7 ab\n",
            &format!("x {digest}\n"),
            &format!("7 {digest}ab\n"),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&format!("7 {digest}\n")).unwrap().sequence(), 7);
    }
}
