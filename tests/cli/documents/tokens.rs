//! Pages about keys in tokens, with a private SoftHSM.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use taskseal_hsm::softhsm;
use taskseal_tests::rerun::rerun;
use taskseal_tests::test_path;
use taskseal_tests::token::raw_session;

use super::reader::Reader;

/// Set in the process that generates a key.
const GENERATE: &str = "TASKSEAL_TEST_GENERATE";

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

    let conf = reader.path("softhsm2.conf");
    let output =
        rerun(test_path!(generate)).env(softhsm::CONF_VARIABLE, &conf).env(GENERATE, "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let _ = reader.run_all();

    let entries = reader.read("keyset.toml").matches("[[key]]").count();
    assert_eq!(entries, 3);
}

#[test]
#[ignore = "the process that generates a key for the test of a page"]
fn generate() {
    generate_as_another_program();
}

/// Generates a key pair with an id of one byte, if this process was started for it.
fn generate_as_another_program() {
    if std::env::var_os(GENERATE).is_none() {
        return;
    }
    let curve = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let common = [Attribute::Token(true), Attribute::Id(vec![1]), Attribute::Label("existing".into())];
    let allowed = |sign: [Attribute; 1], denied: &[fn(bool) -> Attribute]| {
        let denied = denied.iter().map(|attribute| attribute(false));
        common.iter().cloned().chain(sign).chain(denied).collect::<Vec<_>>()
    };
    let mut public =
        allowed([Attribute::Verify(true)], &[Attribute::Encrypt, Attribute::Wrap, Attribute::Derive]);
    public.push(Attribute::EcParams(curve.to_vec()));
    let denied: [fn(bool) -> Attribute; 5] = [
        Attribute::Extractable,
        Attribute::Derive,
        Attribute::Decrypt,
        Attribute::Unwrap,
        Attribute::SignRecover,
    ];
    let mut private = allowed([Attribute::Sign(true)], &denied);
    private.extend([Attribute::Private(true), Attribute::Sensitive(true)]);
    let session = raw_session(&softhsm::find_library().unwrap());
    let _ = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
}
