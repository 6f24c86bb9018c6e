//! Arguments that generate the key of a suite.

/// Rights that allow everything, for keys that authenticate.
pub(crate) const ANY: [&str; 6] = ["--issuer", "*", "--type", "*", "--audience", "*"];

/// Returns the arguments that generate a key of a suite. The suite sign-encrypt-to stands for its decryption key.
pub(crate) fn keygen<'a>(suite: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let (purpose, rights): (&[&str], &[&str]) = match suite {
        "S" => (&["sign"], &ANY),
        "SP" => (&["receive"], &[]),
        "SE" | "sign-encrypt" => (&["shared", "--suite", suite], &[]),
        _ => (&["shared", "--suite", suite], &ANY),
    };
    [&["keygen"], purpose, more, rights].concat()
}
