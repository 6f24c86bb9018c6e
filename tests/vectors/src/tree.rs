//! An envelope as a tree that can be taken apart and put together wrongly.

/// A CBOR item. A byte string that holds CBOR, as headers and encrypted objects do, is a [`Node::Wrapped`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An integer: major type and argument.
    Int(u8, u64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A byte string around an item.
    Wrapped(Box<Self>),
    /// A text string.
    Text(String),
    /// An array.
    Array(Vec<Self>),
    /// A map: keys and values alternate.
    Map(Vec<Self>),
    /// A tag and its content.
    Tag(u64, Box<Self>),
    /// A simple value: 22 is null.
    Simple(u8),
    /// Bytes written as they are, whatever they mean. Never read, only put in.
    Raw(Vec<u8>),
}

/// Null.
pub const NULL: Node = Node::Simple(22);

/// The indexes that lead to a node.
pub type Path = Vec<usize>;

impl Node {
    /// Takes an envelope apart.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn of_envelope(bytes: &[u8]) -> Self {
        Self::read_whole(bytes).expect("an envelope")
    }

    /// Takes an item apart that is all there is; `None` if it is not well-formed.
    #[must_use]
    pub fn read_whole(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        Self::read(&mut rest).filter(|_| rest.is_empty())
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (initial, mut rest) = bytes.split_first()?;
        let width = match initial & 31 {
            0..=23 => 0,
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        let (digits, after) = rest.split_at_checked(width)?;
        rest = after;
        let argument = match width {
            0 => u64::from(initial & 31),
            _ => digits.iter().fold(0, |value, digit| value << 8 | u64::from(*digit)),
        };
        let len = usize::try_from(argument).ok()?;
        let node = match initial >> 5 {
            major @ 0..=1 => Self::Int(major, argument),
            major @ 2..=3 => {
                let (content, after) = rest.split_at_checked(len)?;
                rest = after;
                if major == 2 {
                    Self::unwrap(content)
                } else {
                    Self::Text(String::from_utf8(content.to_vec()).ok()?)
                }
            }
            4 => Self::Array(Self::read_all(len, &mut rest)?),
            5 => Self::Map(Self::read_all(len.checked_mul(2)?, &mut rest)?),
            6 => Self::Tag(argument, Box::new(Self::read(&mut rest)?)),
            _ if width == 0 => Self::Simple(initial & 31),
            _ => return None,
        };
        *bytes = rest;
        Some(node)
    }

    fn read_all(count: usize, bytes: &mut &[u8]) -> Option<Vec<Self>> {
        (0..count.min(64)).map(|_| Self::read(bytes)).collect()
    }

    /// Only maps, tags and the array of a proof are wrapped in an envelope; what merely looks like one is written back as it was.
    fn unwrap(content: &[u8]) -> Self {
        let mut rest = content;
        match Self::read(&mut rest) {
            Some(node @ (Self::Map(_) | Self::Tag(..) | Self::Array(_)))
                if rest.is_empty() && node.encode() == content =>
            {
                Self::Wrapped(Box::new(node))
            }
            _ => Self::Bytes(content.to_vec()),
        }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, &mut 0, None);
        out
    }

    /// The encoding with one head in `width` bytes after the first, wide enough or not; lengths around it fit.
    #[must_use]
    pub fn encode_with_wide_head(&self, head: usize, width: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, &mut 0, Some((head, width)));
        out
    }

    /// How many heads the encoding has.
    #[must_use]
    pub fn heads(&self) -> usize {
        let mut count = 0;
        self.write(&mut Vec::new(), &mut count, None);
        count
    }

    fn write(&self, out: &mut Vec<u8>, count: &mut usize, wide: Option<(usize, usize)>) {
        let mut put_head = |out: &mut Vec<u8>, major: u8, argument: u64| {
            let width = wide.filter(|wide| wide.0 == *count).map(|wide| wide.1);
            *count += 1;
            out.extend(head(major, argument, width));
        };
        match self {
            Self::Int(major, argument) => put_head(out, *major, *argument),
            Self::Bytes(content) => {
                put_head(out, 2, content.len() as u64);
                out.extend(content);
            }
            Self::Wrapped(node) => {
                // The length of what is inside must be known first; heads are counted in order all the same.
                let own = *count;
                *count += 1;
                let mut content = Vec::new();
                node.write(&mut content, count, wide);
                let width = wide.filter(|wide| wide.0 == own).map(|wide| wide.1);
                out.extend(head(2, content.len() as u64, width));
                out.extend(content);
            }
            Self::Text(text) => {
                put_head(out, 3, text.len() as u64);
                out.extend(text.as_bytes());
            }
            Self::Array(items) => {
                put_head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out, count, wide));
            }
            Self::Map(items) => {
                put_head(out, 5, items.len() as u64 / 2);
                items.iter().for_each(|item| item.write(out, count, wide));
            }
            Self::Tag(number, node) => {
                put_head(out, 6, *number);
                node.write(out, count, wide);
            }
            Self::Simple(value) => put_head(out, 7, u64::from(*value)),
            Self::Raw(bytes) => out.extend(bytes),
        }
    }

    fn children(&self) -> Vec<&Self> {
        match self {
            Self::Wrapped(node) | Self::Tag(_, node) => vec![node],
            Self::Array(items) | Self::Map(items) => items.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The paths of this node and of all below it.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        let below = self.children().into_iter().enumerate().flat_map(|(index, child)| {
            child.paths().into_iter().map(move |path| [&[index], path.as_slice()].concat())
        });
        [Path::new()].into_iter().chain(below).collect()
    }

    /// The node at a path.
    #[must_use]
    pub fn get(&self, path: &[usize]) -> Option<&Self> {
        match path {
            [] => Some(self),
            [first, rest @ ..] => self.children().get(*first)?.get(rest),
        }
    }

    /// The tree with another node at a path.
    #[must_use]
    pub fn with(&self, path: &[usize], node: Self) -> Self {
        let [first, rest @ ..] = path else { return node };
        let replace = |items: &[Self]| {
            let items = items.iter().enumerate();
            items
                .map(
                    |(index, item)| {
                        if index == *first { item.with(rest, node.clone()) } else { item.clone() }
                    },
                )
                .collect()
        };
        match self {
            Self::Wrapped(inside) => Self::Wrapped(Box::new(inside.with(rest, node))),
            Self::Tag(number, inside) => Self::Tag(*number, Box::new(inside.with(rest, node))),
            Self::Array(items) => Self::Array(replace(items)),
            Self::Map(items) => Self::Map(replace(items)),
            other => other.clone(),
        }
    }

    /// What is inside byte strings and tags, if it is one.
    fn inside(&mut self) -> &mut Self {
        match self {
            Self::Wrapped(node) | Self::Tag(_, node) => node.inside(),
            other => other,
        }
    }

    /// The items of an array, keys and values of a map.
    ///
    /// # Panics
    /// If it is neither.
    pub fn items(&mut self) -> &mut Vec<Self> {
        match self.inside() {
            Self::Array(items) | Self::Map(items) => items,
            other => panic!("no items in {other:?}"),
        }
    }

    /// The value of a label of a map.
    ///
    /// # Panics
    /// If there is none.
    pub fn at(&mut self, label: i64) -> &mut Self {
        let position = self.position(label);
        self.items().get_mut(position + 1).expect("a value after its key")
    }

    /// The place of a label of a map among keys and values.
    fn position(&mut self, label: i64) -> usize {
        let label = int(label);
        let keys = self.items().iter().step_by(2);
        2 * keys.into_iter().position(|key| *key == label).expect("the label")
    }

    /// Gives a label of a map another value.
    pub fn set(&mut self, label: i64, value: Self) {
        *self.at(label) = value;
    }

    /// Takes a label and its value out of a map, and returns them.
    pub fn remove(&mut self, label: i64) -> [Self; 2] {
        let at = self.position(label);
        let items = self.items();
        [items.remove(at), items.remove(at)]
    }

    /// Puts a pair before one of a map.
    pub fn put_before(&mut self, label: i64, key: Self, value: Self) {
        let at = self.position(label);
        self.items().splice(at..at, [key, value]);
    }

    /// Puts a pair at the end of a map.
    pub fn append(&mut self, key: Self, value: Self) {
        self.items().extend([key, value]);
    }

    /// The bytes in a byte string.
    #[must_use]
    pub fn string_content(&self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(content) => Some(content.clone()),
            Self::Wrapped(node) => Some(node.encode()),
            _ => None,
        }
    }

    /// This array or map with an item (a pair) removed, repeated, or exchanged with the next.
    #[must_use]
    pub fn rearranged(&self) -> Vec<(String, Self)> {
        let (items, step) = match self {
            Self::Array(items) => (items, 1),
            Self::Map(items) => (items, 2),
            _ => return Vec::new(),
        };
        let groups: Vec<&[Self]> = items.chunks(step).collect();
        let rebuilt = |groups: Vec<&[Self]>| match self {
            Self::Map(_) => Self::Map(groups.concat()),
            _ => Self::Array(groups.concat()),
        };
        let mut all = Vec::new();
        for index in 0..groups.len() {
            let mut removed = groups.clone();
            let group = removed.remove(index);
            all.push((format!("without item {index}"), rebuilt(removed)));
            let mut repeated = groups.clone();
            repeated.insert(index, group);
            all.push((format!("with item {index} twice"), rebuilt(repeated)));
            if index + 1 < groups.len() {
                let mut exchanged = groups.clone();
                exchanged.swap(index, index + 1);
                all.push((format!("with item {index} after the next"), rebuilt(exchanged)));
            }
        }
        all
    }
}

/// An integer.
#[must_use]
pub const fn int(value: i64) -> Node {
    if value < 0 { Node::Int(1, value.unsigned_abs() - 1) } else { Node::Int(0, value.unsigned_abs()) }
}

/// A text string.
#[must_use]
pub fn text(value: &str) -> Node {
    Node::Text(value.to_owned())
}

/// A byte string.
#[must_use]
pub fn bytes(value: &[u8]) -> Node {
    Node::Bytes(value.to_vec())
}

/// A byte string around an item.
#[must_use]
pub fn wrapped(node: Node) -> Node {
    Node::Wrapped(Box::new(node))
}

/// A map of integer labels.
#[must_use]
pub fn map<const N: usize>(pairs: [(i64, Node); N]) -> Node {
    Node::Map(pairs.into_iter().flat_map(|(label, value)| [int(label), value]).collect())
}

/// A head; the shortest that fits if no width is asked for.
fn head(major: u8, argument: u64, width: Option<usize>) -> Vec<u8> {
    let shortest = match argument {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    let info = |width| match width {
        1 => 24,
        2 => 25,
        4 => 26,
        _ => 27,
    };
    let width = width.unwrap_or(shortest).max(shortest);
    let digits = argument.to_be_bytes();
    match width {
        0 => vec![major << 5 | digits.last().copied().unwrap_or(0)],
        _ => [major << 5 | info(width)].iter().chain(digits.iter().skip(8 - width)).copied().collect(),
    }
}
