//! The text of a configuration or keyset file: UTF-8, with or without a byte order mark.

use std::path::Path;

use crate::file_error::FileError;

/// Returns whether a text begins with the byte order mark of UTF-16.
pub(crate) fn is_utf16(content: &[u8]) -> bool {
    content.starts_with(&[0xff, 0xfe]) || content.starts_with(&[0xfe, 0xff])
}

/// Returns the content of a file as text, without its byte order mark.
///
/// `>` and `>>` of Windows PowerShell write UTF-16, `>>` also at the end of a file in UTF-8: its letters are then separated by NUL.
pub(super) fn decode(path: &Path, content: Vec<u8>) -> Result<String, FileError> {
    if is_utf16(&content) {
        return Err(FileError::new(path, "the file is UTF-16; expected UTF-8").hint(SAVE));
    }
    let text = String::from_utf8(content).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        FileError::new(path, format!("byte {} is not UTF-8", at + 1)).at(&text, at).hint(SAVE)
    })?;
    if let Some(at) = text.find('\0') {
        let message = "contains a NUL: expected UTF-8, and from here on the file may be UTF-16";
        return Err(FileError::new(path, message).at(&text, at).hint(SAVE));
    }
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

const SAVE: &str = "save the file as UTF-8; in PowerShell, write it with `Out-File -Encoding utf8`";
