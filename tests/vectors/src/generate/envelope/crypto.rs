//! Signatures, tags and commitments that do not match, and keys that are used for another purpose.

use super::valid::{example_e, example_m, example_s, example_se, example_sp};
use super::{By, File, mac_line};
use crate::cose::{
    self, ALG, CLAIMS, KID, MAC0, PRIVATE, SIGN1, agreed_content_key, encrypt, envelope_e, frame,
    header_encp, header_m, header_s, header_se, header_sp, hmac, inner_se, inner_sp, iv, mac0, sign, sign1,
    sign1_by, structure,
};
use crate::example::{self, BODY, ORDER, hex, sha256};
use crate::tree::{Node, bytes, int, text};

fn second_producer() -> taskseal_core::keys::SigningKey {
    example::signing_key("taskseal example second producer signing key")
}

fn mac_key() -> [u8; 32] {
    sha256(b"taskseal example mac key")
}

fn rejected(name: &'static str, by: By, note: &'static str, bytes: &[u8]) -> File {
    File::refused(name, by, "rejected", note, bytes)
}

/// One bit changed, counted from the end.
fn flipped(mut bytes: Vec<u8>, from_the_end: usize, bit: u8) -> Vec<u8> {
    bytes.iter_mut().rev().skip(from_the_end).take(1).for_each(|byte| *byte ^= bit);
    bytes
}

fn confusions() -> Vec<File> {
    let producer = example::producer().verifying_key();
    let point = producer.to_point();
    let x = point.get(1..33).expect("a point of 65 bytes");
    let under = |mut header: Node, kid: &[u8]| {
        header.set(KID, bytes(kid));
        header.encode()
    };
    let with_public = |key: &[u8]| mac0(key, &under(header_m(), producer.kid().as_bytes()));
    let (enc_kid, enc_key) = cose::shared_key();
    let mac_kid = b"mac\0\0\0\0\x01";
    vec![
        rejected(
            "confusion_encrypt0_under_es256_kid",
            By::Anyone,
            "COSE_Encrypt0 with the public x of an ES256 key, under its kid",
            &envelope_e(x, BODY, |header| header.set(KID, bytes(producer.kid().as_bytes()))),
        )
        .producer(),
        rejected(
            "confusion_encrypt0_under_mac_kid",
            By::KeyHolder,
            "COSE_Encrypt0 with an HMAC key",
            &envelope_e(&mac_key(), BODY, |header| header.set(KID, bytes(mac_kid))),
        )
        .mac()
        .line("shared", mac_line()),
        rejected(
            "confusion_es256_under_mac_kid",
            By::Anyone,
            "a signature under the kid of an HMAC key",
            &sign1(&under(header_s(), mac_kid), BODY),
        )
        .mac(),
        rejected(
            "confusion_mac_under_encryption_kid",
            By::KeyHolder,
            "HMAC with an encryption key",
            &mac0(&enc_key, &under(header_m(), &enc_kid)),
        )
        .enc(),
        rejected(
            "confusion_public_key_as_mac_key",
            By::Anyone,
            "HMAC with the public point of an ES256 key, under its kid",
            &with_public(&point),
        )
        .producer(),
        rejected(
            "confusion_public_x_as_mac_key",
            By::Anyone,
            "HMAC with the public x of an ES256 key, under its kid",
            &with_public(x),
        )
        .producer(),
    ]
}

fn encryption() -> Vec<File> {
    let key = cose::shared_key().1;
    let e = |name, by, note, bytes: &[u8]| rejected(name, by, note, bytes).enc().shared();
    let other_iv = {
        let mut tree = Node::of_envelope(&example_e());
        tree.items().get_mut(1).expect("an unprotected map").set(cose::IV, bytes(&[1; 12]));
        tree.encode()
    };
    let other_commit = envelope_e(&key, BODY, |header| {
        let mut commit = header.at(PRIVATE).string_content().expect("a commitment");
        commit.iter_mut().skip(16).take(1).for_each(|byte| *byte ^= 1);
        header.set(PRIVATE, bytes(&commit));
    });
    let to_the_signer = {
        let recipient = example::agreement_key("taskseal example producer signing key").public_key();
        let outer = header_sp().encode();
        let key = agreed_content_key(&recipient);
        let inner = encrypt(&outer, &header_encp(&key), &key, &iv(), recipient.kid().as_bytes(), BODY);
        sign1(&outer, &inner.encode())
    };
    vec![
        e(
            "encrypt_by_other_key",
            By::Anyone,
            "another key under this kid",
            &envelope_e(&sha256(b"other"), BODY, |_| ()),
        ),
        e(
            "encrypt_ciphertext_bit_flipped",
            By::Anyone,
            "first bit of the ciphertext",
            &flipped(example_e(), BODY.len() + 15, 0x80),
        ),
        e(
            "encrypt_commit_bit_flipped",
            By::KeyHolder,
            "one bit of the commitment, tag made for it",
            &other_commit,
        ),
        e("encrypt_iv_changed", By::Anyone, "another IV", &other_iv),
        e("encrypt_tag_bit_flipped", By::Anyone, "last bit of the AEAD tag", &flipped(example_e(), 0, 1)),
        rejected(
            "purpose_recipient_is_verifying_key",
            By::KeyHolder,
            "encrypted to a key that signs: one key, one purpose",
            &to_the_signer,
        )
        .producer()
        .agree("taskseal example producer signing key"),
        rejected(
            "purpose_shared_key_is_record",
            By::KeyHolder,
            "the inner key of SE is a record for suite E: one key, one suite",
            &example_se(),
        )
        .producer()
        .enc()
        .shared(),
    ]
}

fn macs() -> Vec<File> {
    let header = header_m().encode();
    let mut header_64 = header_m();
    header_64.set(ALG, int(4));
    let header_64 = header_64.encode();
    let with_tag = |header: &[u8], tag: &[u8], len: usize| {
        let tag: Vec<u8> = tag.iter().copied().take(len).collect();
        frame(MAC0, header, bytes(BODY), &tag).encode()
    };
    let tag_of = |context, header: &[u8]| hmac(&mac_key(), &structure(context, &[header, b"", BODY]));
    vec![
        File::refused(
            "mac_alg_hmac_256_64",
            By::KeyHolder,
            "malformed",
            "alg 4",
            &with_tag(&header_64, &tag_of("MAC0", &header_64), 8),
        )
        .mac(),
        rejected("mac_bit_flipped", By::Anyone, "last bit of the tag", &flipped(example_m(), 0, 1)).mac(),
        rejected(
            "mac_by_other_key",
            By::Anyone,
            "another key under this kid",
            &mac0(&sha256(b"other"), &header),
        )
        .mac(),
        rejected(
            "mac_context_of_mac",
            By::KeyHolder,
            "a tag over the structure of COSE_Mac",
            &with_tag(&header, &tag_of("MAC", &header), 32),
        )
        .mac(),
        File::refused(
            "mac_truncated",
            By::Anyone,
            "malformed",
            "HMAC 256/64: a tag of 8 bytes",
            &with_tag(&header, &tag_of("MAC0", &header), 8),
        )
        .mac(),
    ]
}

fn signatures() -> Vec<File> {
    let producer = example::producer();
    let header = header_s().encode();
    let with_signature = |signature: &[u8]| frame(SIGN1, &header, bytes(BODY), signature).encode();
    let signature: [u8; 64] = *example_s().last_chunk().expect("a signature at the end");
    let (r, s) = signature.split_at(32);
    let with_r = |other: &[u8]| with_signature(&[other, s].concat());
    let replaced = |old: &[u8], new: &[u8]| {
        let mut bytes = example_s();
        let at = bytes.windows(old.len()).position(|window| window == old).expect("these bytes");
        bytes.splice(at..at + old.len(), new.iter().copied());
        bytes
    };
    let by = |by, name, note, bytes: &[u8]| rejected(name, by, note, bytes).producer();
    let by_anyone = |name, note, bytes: Vec<u8>| by(By::Anyone, name, note, &bytes);
    let other_context = structure("Signature", &[&header, b"", b"", BODY]);
    let external = structure("Signature1", &[&header, b"x", BODY]);
    vec![
        by_anyone("signature_bit_flipped", "last bit of the signature", flipped(example_s(), 0, 1)),
        by_anyone("signature_body_changed", "user 42 became user 43", replaced(b":42,", b":43,")),
        by_anyone(
            "signature_by_other_key",
            "signed by another key under this kid",
            sign1_by(&second_producer(), &header, BODY),
        ),
        by_anyone("signature_expiry_changed", "an hour longer", replaced(&hex("6920c268"), &hex("6920d078"))),
        by_anyone(
            "signature_high_s",
            "the other signature of the same message: n - s",
            with_signature(&example::other_s(signature)),
        ),
        by(
            By::KeyHolder,
            "signature_over_other_context",
            "a signature over the structure of COSE_Sign",
            &with_signature(&sign(&producer, &other_context)),
        ),
        by_anyone("signature_r_order", "r the order of the curve", with_r(&ORDER)),
        by_anyone("signature_r_plus_order", "r out of range, all ones", with_r(&[0xff; 32])),
        by_anyone("signature_r_zero", "r zero", with_r(&[0; 32])),
        by_anyone("signature_s_zero", "s zero", with_signature(&[r, &[0; 32]].concat())),
        by_anyone(
            "signature_type_changed",
            "another task type of the same length",
            replaced(b"deliver", b"destroy"),
        ),
        by(
            By::KeyHolder,
            "signature_with_external_aad",
            "signed with external data",
            &with_signature(&sign(&producer, &external)),
        ),
        by_anyone("signature_zero", "r and s zero", with_signature(&[0; 64])),
    ]
}

/// Ciphertexts taken out of their envelope and signed again.
fn strips() -> Vec<File> {
    let second = second_producer();
    let again = |mut header: Node, inner: Node| {
        header.set(KID, bytes(second.verifying_key().kid().as_bytes()));
        sign1_by(&second, &header.encode(), &inner.encode())
    };
    let se = again(header_se(), inner_se(&header_se().encode(), BODY, |_| ()));
    let sp = again(header_sp(), inner_sp(&header_sp().encode(), BODY, |_| ()));
    let mut other_claims = header_sp();
    other_claims.at(CLAIMS).set(2, text("email:destroy"));
    let inner = Node::of_envelope(&example_sp()).get(&[0, 2]).and_then(Node::string_content);
    let other_claims = sign1(&other_claims.encode(), &inner.expect("a payload"));
    let note = "the ciphertext of one producer under the header of another, well signed";
    vec![
        rejected("strip_se_signed_again", By::OtherKeyHolder, note, &se)
            .es256(&second.verifying_key())
            .shared(),
        rejected("strip_sp_signed_again", By::OtherKeyHolder, note, &sp)
            .es256(&second.verifying_key())
            .worker(),
        rejected(
            "strip_sp_under_other_claims",
            By::KeyHolder,
            "the ciphertext of one task under the claims of another, well signed by its producer",
            &other_claims,
        )
        .producer()
        .worker(),
    ]
}

pub(super) fn files() -> Vec<File> {
    [confusions(), encryption(), macs(), signatures(), strips()].concat()
}
