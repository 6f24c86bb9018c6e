//! Comparison with two other decoders: coset reads the same fields, and what is accepted here is well-formed to
//! coset and minicbor too. They accept more than core does.

use coset::iana::EnumI64;
use coset::{
    AsCborValue, CborSerializable, CoseEncrypt, CoseEncrypt0, CoseMac0, CoseSign1, Header,
    RegisteredLabelWithPrivate, TaggedCborSerializable, iana,
};
use proptest::prelude::*;
use taskseal_core::{Suite, Unverified};
use taskseal_tests::tree::Node;
use taskseal_tests::vectors;

/// Whether minicbor reads exactly one item.
fn minicbor_accepts(bytes: &[u8]) -> bool {
    let mut decoder = minicbor::Decoder::new(bytes);
    decoder.skip().is_ok() && decoder.position() == bytes.len()
}

/// Header, payload and receipt of a task in a batch, which is an array that no COSE library has a type for.
fn batch_parts(bytes: &[u8]) -> [Vec<u8>; 3] {
    let mut decoder = minicbor::Decoder::new(bytes);
    assert_eq!(decoder.array().expect("an array"), Some(3));
    core::array::from_fn(|_| decoder.bytes().expect("a byte string").to_vec())
}

/// The protected header, the payload and what authenticates it, as coset reads them.
fn coset_reads(
    parsed: &Unverified<'_>,
    bytes: &[u8],
) -> Result<(Header, Vec<u8>, Vec<u8>), coset::CoseError> {
    if parsed.is_batched() {
        let [header, payload, receipt] = batch_parts(bytes);
        let receipt = CoseSign1::from_tagged_slice(&receipt)?;
        assert_eq!(receipt.protected.header.key_id, parsed.kid().as_bytes());
        assert_eq!(receipt.payload, None);
        return Ok((Header::from_slice(&header)?, payload, receipt.signature));
    }
    Ok(match parsed.suite() {
        Suite::M => {
            let mac = CoseMac0::from_tagged_slice(bytes)?;
            (mac.protected.header, mac.payload.unwrap_or_default(), mac.tag)
        }
        Suite::E => {
            let encrypted = CoseEncrypt0::from_tagged_slice(bytes)?;
            (encrypted.protected.header, encrypted.ciphertext.unwrap_or_default(), encrypted.unprotected.iv)
        }
        _ => {
            let sign = CoseSign1::from_tagged_slice(bytes)?;
            (sign.protected.header, sign.payload.unwrap_or_default(), sign.signature)
        }
    })
}

/// Whatever is well-formed here must be to the others.
fn others_agree(bytes: &[u8]) {
    let Ok(parsed) = Unverified::parse(bytes) else { return };
    assert!(minicbor_accepts(bytes), "minicbor");
    let (header, payload, _) = coset_reads(&parsed, bytes).expect("coset");
    assert_eq!(header.key_id, parsed.kid().as_bytes());
    match parsed.suite() {
        Suite::Se => assert!(CoseEncrypt0::from_tagged_slice(&payload).is_ok(), "coset, inside"),
        Suite::Sp => assert!(CoseEncrypt::from_tagged_slice(&payload).is_ok(), "coset, inside"),
        _ => {}
    }
}

fn accepted() -> Vec<vectors::Vector> {
    let all = ["envelope", "batch"].into_iter().flat_map(vectors::all);
    all.filter(|vector| vector.expected() == "accepted").collect()
}

#[test]
fn coset_reads_the_same_fields() {
    for vector in accepted() {
        let parsed = Unverified::parse(&vector.bytes).unwrap();
        let claims = parsed.danger_claims_unverified();
        let (header, payload, authenticator) = coset_reads(&parsed, &vector.bytes).unwrap();

        let algorithm = match parsed.suite() {
            Suite::M => iana::Algorithm::HMAC_256_256,
            Suite::E => iana::Algorithm::A256GCM,
            _ => iana::Algorithm::ES256,
        };
        assert_eq!(header.alg, Some(RegisteredLabelWithPrivate::Assigned(algorithm)), "{}", vector.name);
        assert_eq!(header.key_id, parsed.kid().as_bytes());
        assert!(header.crit.is_empty());
        let length = if parsed.suite().encrypts() { payload.len() - 16 } else { payload.len() };
        assert!(matches!(parsed.suite(), Suite::Se | Suite::Sp) || length == parsed.body_len());
        assert_eq!(
            authenticator.len(),
            match parsed.suite() {
                Suite::M => 32,
                Suite::E => 12,
                _ => 64,
            }
        );

        let cwt = header
            .rest
            .iter()
            .find(|pair| pair.0 == coset::Label::Int(iana::HeaderParameter::CwtClaims.to_i64()));
        let cwt = coset::cwt::ClaimsSet::from_cbor_value(cwt.expect("claims").1.clone()).unwrap();
        assert_eq!(cwt.issuer.as_deref(), Some(claims.issuer.as_str()));
        assert_eq!(cwt.subject.as_deref(), Some(claims.task_type.as_str()));
        assert_eq!(cwt.audience.as_deref(), Some(claims.audience.as_str()));
        assert_eq!(cwt.cwt_id.as_deref(), Some(claims.task_id.as_bytes().as_slice()));
        let seconds = |time: Option<coset::cwt::Timestamp>| match time {
            Some(coset::cwt::Timestamp::WholeSeconds(seconds)) => u64::try_from(seconds).ok(),
            _ => None,
        };
        assert_eq!(seconds(cwt.expiration_time), claims.expires_at);
        assert_eq!(seconds(cwt.not_before), claims.not_before);
        assert_eq!(seconds(cwt.issued_at), claims.issued_at);
    }
}

#[test]
fn coset_writes_back_the_same_bytes() {
    for vector in accepted() {
        let parsed = Unverified::parse(&vector.bytes).unwrap();
        if parsed.is_batched() {
            let [_, _, receipt] = batch_parts(&vector.bytes);
            assert_eq!(CoseSign1::from_tagged_slice(&receipt).unwrap().to_tagged_vec().unwrap(), receipt);
            continue;
        }
        let written = match parsed.suite() {
            Suite::M => CoseMac0::from_tagged_slice(&vector.bytes).unwrap().to_tagged_vec(),
            Suite::E => CoseEncrypt0::from_tagged_slice(&vector.bytes).unwrap().to_tagged_vec(),
            _ => CoseSign1::from_tagged_slice(&vector.bytes).unwrap().to_tagged_vec(),
        };
        assert_eq!(written.unwrap(), vector.bytes, "{}", vector.name);
    }
}

#[test]
fn the_inner_objects_are_cose_too() {
    for vector in accepted() {
        let parsed = Unverified::parse(&vector.bytes).unwrap();
        let (_, payload, _) = coset_reads(&parsed, &vector.bytes).unwrap();
        match parsed.suite() {
            Suite::Se => {
                let inner = CoseEncrypt0::from_tagged_slice(&payload).unwrap();
                assert_eq!(
                    Some(inner.protected.header.key_id.as_slice()),
                    parsed.recipient_kid().as_ref().map(|kid| kid.as_bytes().as_slice())
                );
                assert_eq!(inner.unprotected.iv.len(), 12);
            }
            Suite::Sp => {
                let inner = CoseEncrypt::from_tagged_slice(&payload).unwrap();
                let [recipient] = inner.recipients.as_slice() else { panic!("one recipient") };
                assert_eq!(recipient.unprotected.key_id, parsed.recipient_kid().unwrap().as_bytes());
                assert_eq!(recipient.protected.header.clone().to_vec().unwrap(), [0xa1, 0x01, 0x38, 0x18]);
                assert!(recipient.ciphertext.as_ref().is_none_or(Vec::is_empty));
            }
            _ => {}
        }
    }
}

#[test]
fn every_vector_that_is_well_formed_here_is_well_formed_to_the_others() {
    vectors::all("envelope").iter().for_each(|vector| others_agree(&vector.bytes));
}

/// Whether coset takes the bytes for a COSE object, whatever it is about.
fn coset_accepts(bytes: &[u8]) -> bool {
    CoseSign1::from_tagged_slice(bytes).is_ok()
        || CoseMac0::from_tagged_slice(bytes).is_ok()
        || CoseEncrypt0::from_tagged_slice(bytes).is_ok()
}

#[test]
fn what_is_refused_here_and_read_by_coset_is_on_the_written_list() {
    let refused = vectors::all("envelope").into_iter().filter(|vector| vector.expected() == "malformed");
    let stricter = refused.filter(|vector| coset_accepts(&vector.bytes));
    let found: Vec<String> =
        stricter.map(|vector| format!("{}: {}", vector.name, vector.get("note").unwrap())).collect();
    let written: Vec<&str> =
        include_str!("stricter.txt").lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(found, written);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutants_that_are_well_formed_here_are_well_formed_to_the_others(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let vectors = accepted_once();
        let mut bytes = vectors[which.index(vectors.len())].clone();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        others_agree(&bytes);
    }

    #[test]
    fn trees_with_exchanged_nodes_are_read_alike(
        left in any::<prop::sample::Index>(),
        right in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let vectors = accepted_once();
        let (left, right) = (&vectors[left.index(vectors.len())], &vectors[right.index(vectors.len())]);
        let (left, right) = (Node::of_envelope(left), Node::of_envelope(right));
        let (from, to) = (from.get(&right.paths()).clone(), to.get(&left.paths()).clone());
        let node = right.get(&from).cloned().expect("the node of a path");
        others_agree(&left.with(&to, node).encode());
    }
}

fn accepted_once() -> &'static [Vec<u8>] {
    static VECTORS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    VECTORS.get_or_init(|| accepted().into_iter().map(|vector| vector.bytes).collect())
}
