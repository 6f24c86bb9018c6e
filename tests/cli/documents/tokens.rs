//! Pages about keys in tokens, with a private SoftHSM.

use super::reader::Reader;

/// The page creates its token.
pub(crate) fn from_the_first_token(reader: &mut Reader) {
    let _ = reader.run_all();

    let printed = reader.prepare("taskseal task ls --queue default");
    assert!(printed.contains("completed"), "{printed}");
    let keys = reader.prepare("ls keys 2>/dev/null || true");
    assert_eq!(keys, "", "no private key is in a file");
}

/// The reader has a token with the label `plant` and its PIN in a file.
pub(crate) fn keys_in_tokens(reader: &mut Reader) {
    let _ = reader.prepare(
        "mkdir -m 700 tokens && echo \"directories.tokendir = $HOME/tokens\" > softhsm2.conf
        export SOFTHSM2_CONF=$HOME/softhsm2.conf
        softhsm2-util --init-token --free --label plant --pin 31415926 --so-pin 27182818
        (umask 077; printf 31415926 > pin)",
    );

    let _ = reader.run_all();

    let entries = reader.read("keyset.toml").matches("[[key]]").count();
    assert_eq!(entries, 3);
}
