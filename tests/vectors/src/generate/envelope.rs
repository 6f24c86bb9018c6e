//! Area `envelope`: suites S, M, E, SE and SP, one signature each, and every violation in them.

mod claims;
mod crypto;
mod extension;
mod frame;
mod header;
mod inner;
mod policy;
mod valid;

use super::file::{By, File, hex_of, mac_line};

pub(super) use self::valid::{example_e, example_m, example_s, example_se, example_sp};

/// Every file of the area.
pub(super) fn files() -> Vec<File> {
    let parts = [
        valid::files(),
        frame::files(),
        header::files(),
        claims::files(),
        extension::files(),
        inner::files(),
        crypto::files(),
        policy::files(),
    ];
    parts.concat()
}
