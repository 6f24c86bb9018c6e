//! Whether a program can be started, without starting it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::Access;
use rustix::io::Errno;

/// Maximum length of the line of a script that names its interpreter, in bytes: that of Linux.
const MAX_LINE: u64 = 256;

/// Checks that a file may be executed, and that its interpreter may be, if it is a script.
///
/// # Errors
/// The error of the operating system that a start would have.
pub(crate) fn check(program: &Path) -> io::Result<()> {
    check_file(program)?;
    // A program that can be executed but not read is not a script.
    let Some(line) = first_line(program) else { return Ok(()) };
    let Some(interpreter) = interpreter(&line) else { return Ok(()) };
    let interpreter = Path::new(OsStr::from_bytes(interpreter));
    check_file(interpreter).map_err(|error| {
        io::Error::new(error.kind(), format!("its interpreter {}: {error}", interpreter.display()))
    })
}

fn check_file(program: &Path) -> io::Result<()> {
    if std::fs::metadata(program)?.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    Ok(rustix::fs::access(program, Access::EXEC_OK)?)
}

fn first_line(program: &Path) -> Option<Vec<u8>> {
    // A pipe or a device could block.
    std::fs::metadata(program).ok().filter(|metadata| metadata.is_file())?;
    let mut start = Vec::new();
    File::open(program).ok()?.take(MAX_LINE).read_to_end(&mut start).ok()?;
    start.split(|byte| *byte == b'\n').next().map(<[u8]>::to_vec)
}

/// Returns the absolute path after `#!`. A relative one depends on the working directory.
fn interpreter(line: &[u8]) -> Option<&[u8]> {
    let words = line.strip_prefix(b"#!")?.trim_ascii_start();
    let end = words.iter().position(u8::is_ascii_whitespace).unwrap_or(words.len());
    words.get(..end).filter(|path| path.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Returns the error of a program with this content; empty if it can be started.
    fn checked(content: &[u8], mode: u32) -> String {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, content).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(mode)).unwrap();
        check(&program).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn script_whose_interpreter_is_missing_or_may_not_be_executed_cannot_be_started() {
        let missing = checked(b"#! /missing/python3 -u\nprint()\n", 0o755);
        assert!(missing.starts_with("its interpreter /missing/python3: "), "{missing}");
        let not_executable = checked(b"#!/etc/passwd\n", 0o755);
        assert!(not_executable.starts_with("its interpreter /etc/passwd: "), "{not_executable}");
    }

    #[test]
    fn script_without_the_right_to_execute_it_cannot_be_started() {
        assert!(checked(b"#!/bin/sh\n", 0o644).contains("denied"));
        assert!(check(Path::new("/bin")).is_err());
    }

    #[test]
    fn script_and_binary_that_can_be_executed_can_be_started() {
        assert_eq!(checked(b"#!/bin/sh -e\n", 0o755), "");
        assert_eq!(checked(b"#!/bin/sh", 0o755), "");
        assert_eq!(checked(b"\x7fELF\0\0", 0o755), "");
        check(Path::new("/bin/sh")).unwrap();
    }
}
