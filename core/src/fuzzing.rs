//! Entry points for fuzz targets inside the crate: one function per property, each for arbitrary bytes.
//!
//! Hidden and not part of the interface. The tests replay the corpora of the fuzz targets through the same functions.

use heapless::Vec;

use crate::batch::{Receipt, Tree, root_above};
use crate::cbor::decoder::Decoder;
use crate::cbor::encoder::{Sink, Writer};
use crate::cbor::{ARRAY, BYTES, MAP, NINT, TAG, TEXT, UINT};
use crate::claims::Claims;
use crate::header::Header;
use crate::inner::Inner;
use crate::suite::Kind;

/// Checks that an accepted header is deterministically encoded and that its claims are consistent.
pub fn header(bytes: &[u8]) {
    let mut header = Header::UNSET;
    if header.decode(bytes).is_err() {
        return;
    }
    let mut buffer = [0; 1024];
    let mut writer = Writer::new(&mut buffer);
    if header.encode(&mut writer).is_ok() {
        assert_eq!(writer.as_bytes(), bytes);
    }
    assert_eq!(header.encoded_len(), Ok(bytes.len()));
    assert!(header.claims.check(header.kind).is_ok());
}

/// Checks that decoded claims survive encoding and decoding.
pub fn claims(bytes: &[u8]) {
    let mut claims = Claims::UNSET;
    if claims.decode(&mut Decoder::new(bytes)).is_err() {
        return;
    }
    let mut buffer = [0; 1024];
    let mut writer = Writer::new(&mut buffer);
    claims.encode(&mut writer).expect("the buffer holds all claims");
    let mut decoder = Decoder::new(writer.as_bytes());
    let mut again = Claims::UNSET;
    assert!(again.decode(&mut decoder).is_ok());
    assert_eq!(again, claims);
    assert!(decoder.end().is_ok());
    for kind in Kind::ALL {
        let _ = claims.check(kind);
    }
}

/// Checks that every accepted item encodes to the bytes from which it was decoded.
pub fn cbor(bytes: &[u8]) {
    let decoder = &mut Decoder::new(bytes);
    let mut buffer = [0; 4096];
    while let Ok(major) = decoder.peek_major() {
        let before = decoder.rest();
        let mut writer = Writer::new(&mut buffer);
        let written = match major {
            UINT => decoder.uint().map(|value| writer.uint(value)),
            NINT => decoder.int().map(|value| writer.int(value)),
            BYTES => decoder.bytes().map(|value| writer.bytes(value)),
            TEXT => decoder.text().map(|value| writer.text(value)),
            ARRAY => {
                let len = (0..64).find(|len| {
                    let mut probe = Decoder::new(before);
                    probe.array(*len).is_ok()
                });
                match len {
                    Some(len) => decoder.array(len).map(|()| writer.array(len)),
                    None => return,
                }
            }
            MAP => decoder.map(u64::MAX).map(|len| writer.map(len)),
            TAG => decoder.tag().map(|number| writer.tag(number)),
            _ => decoder.null().map(|()| writer.null()),
        };
        match written {
            Ok(Ok(())) => assert_eq!(before.strip_suffix(decoder.rest()), Some(writer.as_bytes())),
            Ok(Err(_)) => assert!(before.len() - decoder.rest().len() > buffer.len()),
            Err(_) => return,
        }
    }
}

/// Checks that an accepted encrypted object has exactly one source of its content key.
pub fn inner(bytes: &[u8]) {
    let Ok(inner) = Inner::decode(bytes) else { return };
    assert!(inner.kid().is_some());
    assert!(inner.ciphertext.len() >= crate::inner::TAG_LEN);
}

/// Checks that an accepted receipt has the computed length and leads every leaf to a root.
pub fn receipt(bytes: &[u8]) {
    let Ok(receipt) = Receipt::decode(bytes) else { return };
    assert_eq!(receipt.encoded_len(), Ok(bytes.len()));
    let root = receipt.root([0; 32]).expect("a path of the right length");
    assert_ne!(receipt.root([1; 32]), Some(root));
}

/// Checks that every leaf reaches the root by its path and by no shorter path.
pub fn tree(bytes: &[u8]) {
    let mut leaves: Vec<_, 256> = Vec::new();
    for chunk in bytes.chunks(2).take(256) {
        let mut leaf = [0; 32];
        leaf.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        leaves.push(leaf).expect("at most 256 leaves");
    }
    let Some(tree) = Tree::new(leaves.clone()) else {
        assert!(bytes.is_empty());
        return;
    };
    for (index, leaf) in leaves.iter().enumerate() {
        let root = root_above(*leaf, tree.size(), index, tree.path(index));
        assert_eq!(root.as_ref(), tree.root());
        if tree.size() > 1 {
            assert_eq!(root_above(*leaf, tree.size(), index, tree.path(index).skip(1)), None);
        }
    }
}
