//! Receipts that are refused, and the single encoding of the others.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::cbor::encoder::Writer;

const KID: KeyId = KeyId::from_bytes([7; 8]);

fn encoded(size: usize, index: usize, path_len: usize) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let mut writer = Writer::new(&mut bytes);
    let path = vec![[0x5a; 32]; path_len];
    Frame { kid: KID, size, index }.encode(path.iter(), &[9; 64], &mut writer).unwrap();
    let len = writer.position();
    bytes.truncate(len);
    bytes
}

fn header(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; MAX_RECEIPT_HEADER];
    let mut writer = Writer::new(&mut bytes);
    encode_header(KID, size, &mut writer).unwrap();
    let len = writer.position();
    bytes.truncate(len);
    bytes
}

#[test]
fn a_size_of_none_or_of_more_than_1024_is_refused() {
    for size in [0, 1025, 5000] {
        let bytes = encoded(size, 0, path_len(size.max(1), 0));
        assert!(Receipt::decode(&bytes).is_err(), "{size}");
    }
}

#[test]
fn an_index_beyond_the_last_task_is_refused() {
    assert!(Receipt::decode(&encoded(5, 5, path_len(5, 4))).is_err());
    assert!(Receipt::decode(&encoded(1, 1, 0)).is_err());
}

#[test]
fn a_path_of_another_length_is_refused() {
    for len in [0, 1, 3, 4] {
        assert!(Receipt::decode(&encoded(4, 1, len)).is_err(), "{len}");
    }
}

#[test]
fn a_size_other_than_the_signed_one_is_refused() {
    let mut bytes = encoded(6, 0, 3);
    let at = bytes.windows(4).position(|window| window == [0x83, 0x06, 0x00, 0x83]).unwrap();
    assert!(Receipt::decode(&bytes).is_ok());
    bytes[at + 1] = 5;
    assert!(Receipt::decode(&bytes).is_err());
}

#[test]
fn truncated_and_extended_receipts_are_refused() {
    let bytes = encoded(300, 299, path_len(300, 299));
    for len in 0..bytes.len() {
        assert!(Receipt::decode(&bytes[..len]).is_err(), "{len}");
    }
    assert!(Receipt::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn decoded_receipts_encode_to_the_same_bytes_and_every_flipped_bit_is_refused() {
    let bytes = encoded(300, 5, path_len(300, 5));
    let fields = |receipt: &Receipt<'_>| {
        (receipt.kid, receipt.size, receipt.index, receipt.path.to_vec(), *receipt.signature)
    };
    let original = fields(&Receipt::decode(&bytes).unwrap());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(receipt) = Receipt::decode(&flipped) {
            assert_ne!(fields(&receipt), original, "bit {bit}");
        }
    }
}

#[test]
fn the_longest_header_is_that_of_256_tasks_and_more() {
    assert_eq!(header(1024).len(), MAX_RECEIPT_HEADER);
    assert_eq!(header(256).len(), MAX_RECEIPT_HEADER);
    assert_eq!(header(1).len(), MAX_RECEIPT_HEADER - 2);
}

#[test]
fn the_computed_length_is_the_written_length() {
    for (size, index) in [(1, 0), (2, 1), (5, 4), (23, 22), (24, 23), (255, 0), (256, 255), (1024, 1023)] {
        let bytes = encoded(size, index, path_len(size, index));
        assert_eq!(receipt_len(KID, size, index), Ok(bytes.len()));
        assert_eq!(Receipt::decode(&bytes).unwrap().encoded_len(), Ok(bytes.len()));
    }
}
