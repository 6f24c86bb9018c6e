//! Deterministic CBOR (RFC 8949 section 4.2.1) with the place of the first fault, for messages only.

/// The first byte at which an envelope differs from what the format allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: String,
}

impl Fault {
    pub(super) fn new(at: usize, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into() }
    }
}

pub(super) const UINT: u8 = 0;
pub(super) const NINT: u8 = 1;
pub(super) const BYTES: u8 = 2;
pub(super) const TEXT: u8 = 3;
pub(super) const ARRAY: u8 = 4;
pub(super) const MAP: u8 = 5;
pub(super) const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// Maximum nesting: tag, array, recipients, recipient and header of suite SP need 5.
const MAX_DEPTH: usize = 8;
/// Maximum number of items in an array or of pairs in a map: more than each structure of the format has.
const MAX_ITEMS: u64 = 32;

/// One item and its place.
#[derive(Debug)]
pub(super) struct Item<'b> {
    /// Offset of its first byte.
    pub(super) at: usize,
    pub(super) major: u8,
    pub(super) argument: u64,
    /// Content of a string, and its offset.
    pub(super) content: &'b [u8],
    pub(super) content_at: usize,
    /// Items of an array, keys and values of a map in turn, or the item of a tag.
    pub(super) items: Vec<Self>,
}

impl Item<'_> {
    /// Returns what the item is.
    pub(super) fn describe(&self) -> String {
        let n = self.argument;
        match self.major {
            UINT => format!("the integer {n}"),
            NINT => format!("the integer {}", -1 - i128::from(n)),
            BYTES => format!("a byte string of {n} bytes"),
            TEXT => format!("a text of {n} bytes"),
            ARRAY => format!("an array of {n} items"),
            MAP => format!("a map of {n} pairs"),
            TAG => format!("tag {n}"),
            _ if n == 22 => "null".to_owned(),
            _ => "a simple value or a float".to_owned(),
        }
    }

    /// Fails unless the item is of this major type.
    pub(super) fn expect(&self, major: u8, what: &str) -> Result<(), Fault> {
        if self.major == major { Ok(()) } else { Err(self.unexpected(what)) }
    }

    /// Returns the fault of an item in the place of another.
    pub(super) fn unexpected(&self, what: &str) -> Fault {
        Fault::new(self.at, format!("{}, expected {what}", self.describe()))
    }
}

/// Reads the one item that `bytes` contains. `base` is the offset of its first byte.
pub(super) fn read(bytes: &[u8], base: usize) -> Result<Item<'_>, Fault> {
    let mut reader = Reader { bytes, position: 0, base };
    let item = reader.item(0)?;
    match reader.bytes.len() - reader.position {
        0 => Ok(item),
        rest => Err(Fault::new(reader.at(), format!("{rest} bytes behind the end, expected none"))),
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    position: usize,
    base: usize,
}

impl<'b> Reader<'b> {
    const fn at(&self) -> usize {
        self.base + self.position
    }

    fn take(&mut self, count: u64) -> Result<&'b [u8], Fault> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let end = self.base + self.bytes.len();
        let taken = taken.ok_or_else(|| {
            Fault::new(end, format!("the end, expected {count} bytes from byte {}", self.at()))
        })?;
        self.position += taken.len();
        Ok(taken)
    }

    /// Reads major type and argument.
    fn head(&mut self) -> Result<(u8, u64), Fault> {
        let at = self.at();
        let initial = *self.take(1)?.first().unwrap_or(&0);
        let (major, info) = (initial >> 5, initial & 31);
        let (len, least) = match info {
            0..=23 => return Ok((major, info.into())),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            31 => return Err(Fault::new(at, "an indefinite length, expected a definite one")),
            _ => return Err(Fault::new(at, format!("0x{initial:02x}, which CBOR does not define"))),
        };
        let argument = self.take(len)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if major != SIMPLE && argument < least {
            let shortest = if argument < 24 { "in the first byte" } else { "in fewer bytes" };
            return Err(Fault::new(
                at,
                format!("the number {argument} in {len} bytes, expected it {shortest}"),
            ));
        }
        Ok((major, argument))
    }

    fn item(&mut self, depth: usize) -> Result<Item<'b>, Fault> {
        let at = self.at();
        let (major, argument) = self.head()?;
        let content_at = self.at();
        let mut item = Item { at, major, argument, content: &[], content_at, items: Vec::new() };
        let count = match major {
            BYTES | TEXT => {
                item.content = self.take(argument)?;
                0
            }
            ARRAY => argument,
            MAP => argument.saturating_mul(2),
            TAG => 1,
            _ => 0,
        };
        if depth == MAX_DEPTH || count > 2 * MAX_ITEMS {
            return Err(Fault::new(at, format!("{}: larger than any part of an envelope", item.describe())));
        }
        let mut last_key: Option<&[u8]> = None;
        for index in 0..count {
            let (start, start_at) = (self.position, self.at());
            item.items.push(self.item(depth + 1)?);
            if major == MAP && index % 2 == 0 {
                let key = self.bytes.get(start..self.position).unwrap_or_default();
                if last_key.is_some_and(|last| last >= key) {
                    let problem = "a key of a map that is equal to the one before or belongs before it";
                    return Err(Fault::new(
                        start_at,
                        format!("{problem}, expected the order of RFC 8949 4.2.1"),
                    ));
                }
                last_key = Some(key);
            }
        }
        Ok(item)
    }
}
