//! Bytes in and out of a command: a file, or `-` for standard input and output.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use taskseal::file_error::FileError;
use taskseal::wiped_buffer::WipedBuffer;
use zeroize::Zeroizing;

use crate::ui::{Failure, Ui};

/// Reads at most `limit` bytes into memory that is wiped.
pub(super) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: io::Error| {
        let fault = FileError::io(path, "cannot be read", &error);
        Failure::new(fault.to_string()).hint("name a file that can be read, or `-` for standard input")
    };
    let (mut source, len): (Box<dyn Read>, u64) = if path == Path::new("-") {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        (Box::new(file), len)
    };
    let mut bytes = WipedBuffer::with_capacity(usize::try_from(len).unwrap_or(limit).min(limit) + 1);
    if bytes.read_from(&mut source, limit + 1).map_err(failed)? > limit {
        return Err(Failure::new(format!("{}: longer than {limit} bytes", path.display()))
            .hint("store large data elsewhere and seal a reference to it"));
    }
    Ok(bytes.into_bytes())
}

/// Writes to a new file or to standard output.
pub(super) fn write(path: &Path, bytes: &[u8], ui: &Ui) -> Result<(), Failure> {
    if path == Path::new("-") {
        return ui.data(bytes);
    }
    let written = File::create_new(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| {
        let failure = Failure::new(FileError::io(path, "cannot be written", &error).to_string());
        match error.kind() {
            io::ErrorKind::AlreadyExists => failure.hint("nothing is overwritten: choose another name"),
            _ => failure,
        }
    })
}

/// Room for every envelope that can be one, and a byte more for the refusal of those that cannot.
pub(super) const MAX_ENVELOPE: usize = taskseal_core::MAX_BODY + 4096;
