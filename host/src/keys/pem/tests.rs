use super::*;
use crate::keys::testing::Folder;
use crate::keys::{Algorithm, SecretKey};

/// A key of `openssl ecparam -name prime256v1 -genkey`, with its parameters before it.
const EC: &str = "-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIKx9fx/pYSrW6Vw6rPnE2fRT3TbkBhOinajBqPyGdo2noAoGCCqGSM49
AwEHoUQDQgAEUa5jyfexgSDWv1gDKOEqqajsaqQKB80lvBCI7UcszJ6HQZdLrC07
aeTffFbaWZAki8rWPAI4qzqqy0WUJaNZQg==
-----END EC PRIVATE KEY-----
";

fn refused(text: &str) -> PemError {
    PemKey::parse(text.as_bytes()).unwrap_err()
}

/// Returns a new key file in a folder, and its private key in PEM.
fn exported() -> (Folder, String) {
    let folder = Folder::new();
    folder.key("a.key", Algorithm::Es256);
    let pem = private_to_pem(&folder.path("a.key")).unwrap();
    (folder, String::from_utf8(pem.to_vec()).unwrap())
}

#[test]
fn text_other_than_a_key_on_p256_is_refused_with_a_hint_and_without_its_content() {
    let (_folder, pem) = exported();
    let secret = pem.lines().nth(1).unwrap().to_owned();
    for (text, message) in [
        (String::new(), "empty: expected a key in PEM armour"),
        ("hunter2".to_owned(), "not a key in PEM armour"),
        (pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "the private key is encrypted"),
        (
            pem.replace("PRIVATE KEY-----\nMI", "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nMI"),
            "the private key is encrypted",
        ),
        (pem.replace("PRIVATE KEY", "CERTIFICATE"), "found a certificate, expected a key"),
        (pem.replace("PRIVATE KEY", "RSA PRIVATE KEY"), "found `RSA PRIVATE KEY`, expected a key"),
        (pem.replace("PRIVATE KEY", "PUBLIC KEY"), "the key in the PEM armour is damaged"),
        (pem.replace("MIGH", "MIGG"), "the key in the PEM armour is damaged"),
        (format!("{pem}{pem}"), "line 6 begins a second key"),
        (RSA.to_owned(), "not a key on P-256"),
        (P384.to_owned(), "not a key on P-256"),
        (COMPRESSED.to_owned(), "the public key is compressed"),
    ] {
        let error = refused(&text);
        assert!(error.message.contains(message) && !error.hint.is_empty(), "{message}: {error}");
        assert!(
            !format!("{error:?}").contains(&secret[..16]) && !error.message.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn private_key_whose_public_key_is_that_of_another_key_is_refused() {
    let ((_one, one), (_other, other)) = (exported(), exported());
    let (mut der, other) = (content(&one), content(&other));
    let at = der.len() - 64;
    der[at..].copy_from_slice(&other[at..]);

    let error = refused(str::from_utf8(&armour("PRIVATE KEY", &der, "")).unwrap());

    assert_eq!(error.message, "the public key in the file is not that of the private key");
}

fn content(pem: &str) -> Vec<u8> {
    pem_rfc7468::decode_vec(pem.as_bytes()).unwrap().1
}

#[test]
fn exported_key_is_imported_as_the_same_key() {
    for algorithm in [Algorithm::Es256, Algorithm::EcdhEs] {
        let folder = Folder::new();
        let key = folder.key("a.key", algorithm);
        let pem = private_to_pem(&folder.path("a.key")).unwrap();
        let PemKey::Private(scalar) = PemKey::parse(&pem).unwrap() else { panic!("a private key") };
        let imported = SecretKey::import(&folder.path("b.key"), algorithm, "tasks", &scalar).unwrap();
        assert_eq!((imported.kid(), imported.point()), (key.kid(), key.point()));
        let read = |name: &str| std::fs::read_to_string(folder.path(name)).unwrap();
        let armour = |name: &str| read(name).split_once("-----BEGIN").unwrap().1.to_owned();
        assert_eq!(armour("a.key"), armour("b.key"));
        let PemKey::Public(point) = PemKey::parse(&public_to_pem(&key.point().unwrap())).unwrap() else {
            panic!("a public key")
        };
        assert_eq!(Some(point), key.point());
    }
}

#[test]
fn keys_of_openssl_are_read_with_parameters_and_line_ends_of_windows() {
    for text in [EC.to_owned(), EC.replace('\n', "\r\n"), format!("\u{feff}{PKCS8}")] {
        assert!(matches!(PemKey::parse(text.as_bytes()), Ok(PemKey::Private(_))), "{text}");
    }
}

#[test]
fn symmetric_key_is_not_exported() {
    let folder = Folder::new();
    for algorithm in [Algorithm::Hs256, Algorithm::A256Gcm] {
        folder.key(algorithm.name(), algorithm);
        let error = private_to_pem(&folder.path(algorithm.name())).unwrap_err();
        assert!(error.message.contains("symmetric key") && error.hint.is_some(), "{error}");
    }
}

const PKCS8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgE9lIJM24hqkCAQvU
dpfvvhPHedTjxo72ustJFNTkJumhRANCAASr2ptSqWSGrM7U35dpELh9EC+kwMl9
X4E4tUfaIQOZdfq1njUdLDGmGLJ9IJtHiCdvqssEL+wHnYvRweFnpf6v
-----END PRIVATE KEY-----
";

const P384: &str = "-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDA2giY16lUOPYJFWphU
HwpbokoOggwOP04/81AiM2Rhl5Bi76aK73UGgbGVJaQOiYOhZANiAATFybfzCUGT
TwXsHXvPOvvSvlyxtsyAb2KIdkEYMTfVNOVp7/oBvyeiDRV/g+O+NMuxqSKUft15
Y1faX3VyPgkyoXrkdo0BEiATSa2JmdxlPVLSKEl0Nz1hzx9nzD+cXiA=
-----END PRIVATE KEY-----
";

const RSA: &str = "-----BEGIN PRIVATE KEY-----
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAMTHLSc0PiTVKY8U
0b8YkOXVfUhORtCW1XZPdQpAVmj4/tUzaMnnMRKGudo6WhzV5VMzXmz6EtHlbnlV
2Y7i7v5IdXO1BvV1eY1P2b8+qAboBmz4FnSdi0oxajz5O0bERs9wB6Rm3GzPiXH/
B/qP0OMoapRPAgsMjsbgwz7UAatVAgMBAAECgYEAsqeXEin3Zd92jOY9DD+UhmbP
CQ+wcX8QLQs02urQyRuP2ieDsxPI1OYm5L/nwphcTa6sw0pEPfcM1vKfxH+6tN/r
9WHSTDoVOxaVH3BRfxI0bflWZz8PGU+j0Jx9zRvkcXxaFGFlYswtdOXiTQzmmUoa
OAcMPND5TjLZ2C+X9AECQQD2QuPQaM/bcos8/Msdy9NFrcLrIrz0pJgzyI/mx312
jyjx6d5RRjc9Zu+4Jpq3k2Fz6FLL1/CshXekTBaF3dpVAkEAzI9TbE4y1ZjcQYbM
CC1jIVOgFTPWrsf3MUTc0KYcCEprDQc/Tt3DMBS16u6PylGs/Bc8ejOJ9DU3G33G
QleNAQJACvMacg/W/ijvq/yJg3+mmziIrC/VOwN+iP7n9xjzqSvgZDFD41U964sC
Kav9wR/ae27fD5VAbEta8IE5lyYwKQJAOvk/JcRNp4LQTRvdiqX7JEqFplcxl2YS
/+NIfebFwiYiQrlKKSSJ9zyhTb/FOKDfbDYOu3RMW1lUL9rM46d2AQJBAIaE61hD
EG0JIdpGEpzYnvKxJcnYLUro2nP1B2mGH8lRQnlZThwnN/tQWnaQmyIVy8ly3M1i
QURbocfwa5iHAPQ=
-----END PRIVATE KEY-----
";

const COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACob1qFEThY24FZucFyWZqoTvZhbO8
CuFmkSsLsriXtBE=
-----END PUBLIC KEY-----
";
