//! A vector as text: lines of `name: value`, an empty line, bytes in hex.

/// Maximum size of one value, in bytes: a keyset of 64 KiB and one byte more, rounded up.
const MOST: usize = 66 << 10;

/// Memory for the bytes of one vector.
pub(crate) struct Room {
    pub(crate) bytes: [u8; MOST],
    pub(crate) beside: [u8; 4096],
    pub(crate) body: [u8; 4096],
    pub(crate) expected: [u8; 4096],
}

impl Room {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; MOST], beside: [0; 4096], body: [0; 4096], expected: [0; 4096] }
    }
}

/// One vector of the archive.
#[derive(Clone, Copy)]
pub(crate) struct Vector<'v> {
    /// The area and the name of the file.
    pub(crate) name: &'v str,
    head: &'v str,
    hex: &'v str,
}

impl<'v> Vector<'v> {
    /// Returns all vectors of an archive, in order.
    pub(crate) fn all(archive: &'v str) -> impl Iterator<Item = Self> {
        archive.split('=').skip(1).map(|text| {
            let (name, text) = text.split_once('\n').expect("a line with the name");
            let (head, hex) = text.split_once("\n\n").expect("an empty line");
            Self { name, head, hex }
        })
    }

    /// Returns the vector with this name.
    pub(crate) fn find(archive: &'v str, name: &str) -> Self {
        Self::all(archive).find(|vector| vector.name == name).expect("a vector of that name")
    }

    /// Returns the lines above the bytes.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'v str, &'v str)> {
        self.head.lines().map(|line| {
            let (name, value) = line.trim().split_once(':').expect("name: value");
            (name, value.trim())
        })
    }

    /// Returns the value of a line.
    pub(crate) fn get(&self, name: &str) -> Option<&'v str> {
        self.lines().find(|line| line.0 == name).map(|line| line.1)
    }

    /// Returns the value of a line as a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).map(|value| value.parse().expect("a number"))
    }

    /// Returns `accepted` or the code of a refusal.
    pub(crate) fn expected(&self) -> &'v str {
        self.get("expect").expect("an expectation")
    }

    /// Returns the time, or the two ends of the time window.
    pub(crate) fn now(&self) -> taskseal_core::TimeWindow {
        let now = self.get("now").expect("a time");
        let (earliest, latest) = now.split_once(' ').unwrap_or((now, now));
        let number = |text: &str| text.parse().expect("a time");
        taskseal_core::TimeWindow { earliest: number(earliest), latest: number(latest) }
    }

    /// Returns the bytes below the lines.
    pub(crate) fn bytes<'r>(&self, room: &'r mut [u8]) -> &'r [u8] {
        hex(self.hex, room)
    }
}

/// Reads hex digits into the start of `room`; white space between them is skipped.
pub(crate) fn hex<'r>(text: &str, room: &'r mut [u8]) -> &'r [u8] {
    let mut digits = text.chars().filter(|character| !character.is_whitespace()).map(|character| {
        let digit = character.to_digit(16).expect("a hex digit");
        u8::try_from(digit).expect("four bits")
    });
    let mut len = 0;
    while let Some(high) = digits.next() {
        let low = digits.next().expect("an even number of digits");
        *room.get_mut(len).expect("a vector that fits") = high << 4 | low;
        len += 1;
    }
    room.get(..len).expect("just written")
}

/// Reads exactly `N` bytes.
pub(crate) fn array<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    assert_eq!(hex(text, &mut bytes).len(), N, "{text}");
    bytes
}
