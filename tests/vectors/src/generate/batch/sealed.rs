//! Batches assembled by hand; each part can be edited before and after it is signed.

use taskseal_core::Suite;

use crate::cose::{
    self, ALG, CLAIMS, KID, PRIVATE, SIGN1, TYP, claims, header_s, header_se, header_sp, inner_se_with_iv,
    inner_sp_with_iv, sign, structure,
};
use crate::example::{self, BODY};
use crate::merkle::{self, Hash};
use crate::tree::{NULL, Node, bytes, int, map, text, wrapped};

/// Label of the verifiable data structure.
pub(super) const VDS: i64 = 395;
/// Label of its proofs.
pub(super) const VDP: i64 = 396;
/// The `typ` of a receipt.
pub(super) const RECEIPT: &str = "application/vnd.taskseal.batch.v1+cose";

/// Outermost header and payload of a task.
pub(super) type Task = (Vec<u8>, Vec<u8>);

/// Tasks under one signature.
#[derive(Clone)]
pub(super) struct Batch {
    pub(super) tasks: Vec<Task>,
}

/// The claims of the examples without their extension, the task id counting up from …0700.
fn claims_of(index: usize) -> Node {
    let mut claims = claims();
    claims.remove(PRIVATE);
    let mut id = claims.at(7).string_content().expect("an id");
    let number = u16::try_from(0x0700 + index).expect("a small batch");
    id.splice(14.., number.to_be_bytes());
    claims.set(7, bytes(&id));
    claims
}

/// The IV of the examples, counted up in its last four bytes.
fn iv_of(index: usize) -> [u8; 12] {
    let mut iv = cose::iv();
    let (_, counter) = iv.split_at_mut(8);
    let start = counter.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
    let next = start.wrapping_add(u32::try_from(index).expect("a small batch"));
    counter.copy_from_slice(&next.to_be_bytes());
    iv
}

/// The task of an index, its header edited before anything is encrypted.
pub(super) fn task(suite: Suite, index: usize, edit: impl FnOnce(&mut Node)) -> Task {
    let mut header = match suite {
        Suite::Se => header_se(),
        Suite::Sp => header_sp(),
        _ => header_s(),
    };
    header.set(CLAIMS, claims_of(index));
    edit(&mut header);
    let header = header.encode();
    let payload = match suite {
        Suite::Se => inner_se_with_iv(&header, BODY, &iv_of(index), |_| ()).encode(),
        Suite::Sp => inner_sp_with_iv(&header, BODY, &iv_of(index), |_| ()).encode(),
        _ => BODY.to_vec(),
    };
    (header, payload)
}

impl Batch {
    /// The first `size` tasks of a suite.
    pub(super) fn new(suite: Suite, size: usize) -> Self {
        Self { tasks: (0..size).map(|index| task(suite, index, |_| ())).collect() }
    }

    /// Another task in the place of one.
    pub(super) fn with(mut self, index: usize, other: Task) -> Self {
        *self.tasks.get_mut(index).expect("a task") = other;
        self
    }

    pub(super) fn leaves(&self) -> Vec<Hash> {
        let entry = |task: &Task| structure("Signature1", &[&task.0, b"", &task.1]);
        self.tasks.iter().map(|task| merkle::leaf(&entry(task))).collect()
    }

    pub(super) fn root(&self) -> Hash {
        merkle::root(&self.leaves())
    }

    /// The protected header of the receipts.
    pub(super) fn header(&self) -> Node {
        map([
            (ALG, int(-7)),
            (KID, bytes(example::producer().verifying_key().kid().as_bytes())),
            (TYP, text(RECEIPT)),
            (VDS, int(1)),
            (PRIVATE, number(self.tasks.len())),
        ])
    }

    /// Size, index and path.
    pub(super) fn proof(&self, index: usize) -> Node {
        let path = merkle::path(index, &self.leaves());
        let path = path.iter().map(|hash| bytes(hash)).collect();
        Node::Array(vec![number(self.tasks.len()), number(index), Node::Array(path)])
    }

    /// The receipt of a task: the header edited before it is signed, the whole after.
    pub(super) fn receipt(
        &self,
        index: usize,
        edit_header: impl FnOnce(&mut Node),
        edit: impl FnOnce(&mut Node),
    ) -> Node {
        let mut header = self.header();
        edit_header(&mut header);
        let header = header.encode();
        let signed = structure("Signature1", &[&header, b"", &self.root()]);
        let signature = sign(&example::producer(), &signed);
        let mut receipt = receipt_of(&header, self.proof(index), &signature);
        edit(&mut receipt);
        receipt
    }

    /// The envelope of a task around a receipt.
    pub(super) fn around(&self, index: usize, receipt: Node) -> Node {
        let (header, payload) = self.tasks.get(index).expect("a task");
        Node::Array(vec![bytes(header), bytes(payload), wrapped(receipt)])
    }

    /// The envelope of a task.
    pub(super) fn envelope(&self, index: usize) -> Vec<u8> {
        self.around(index, self.receipt(index, |_| (), |_| ())).encode()
    }

    /// The envelope of a task with an edited receipt.
    pub(super) fn edited(
        &self,
        index: usize,
        edit_header: impl FnOnce(&mut Node),
        edit: impl FnOnce(&mut Node),
    ) -> Vec<u8> {
        self.around(index, self.receipt(index, edit_header, edit)).encode()
    }
}

/// A receipt of the bytes of its header, one proof and a signature.
pub(super) fn receipt_of(header: &[u8], proof: Node, signature: &[u8]) -> Node {
    let proofs = map([(VDP, map([(-1, Node::Array(vec![wrapped(proof)]))]))]);
    let items = vec![bytes(header), proofs, NULL, bytes(signature)];
    Node::Tag(SIGN1, Box::new(Node::Array(items)))
}

/// An integer of a length or a place.
pub(super) fn number(value: usize) -> Node {
    Node::Int(0, value as u64)
}

/// An item of an array, within byte strings and tags.
pub(super) fn item(node: &mut Node, position: usize) -> &mut Node {
    node.items().get_mut(position).expect("an item")
}

/// The proof of a receipt.
pub(super) fn proof_of(receipt: &mut Node) -> &mut Node {
    item(item(receipt, 1).at(VDP).at(-1), 0)
}

/// For a part that is not edited.
pub(super) fn unedited(_: &mut Node) {}
