use super::*;

fn shown(bytes: &[u8]) -> String {
    Escaped::new(bytes).to_string()
}

#[test]
fn terminal_sequences_lose_their_escape_character() {
    assert_eq!(shown(b"\x1b[31mred\x1b]0;title\x07"), "\\u{1b}[31mred\\u{1b}]0;title\\u{7}");
    assert_eq!(shown("\u{9b}31m".as_bytes()), "\\u{9b}31m");
    assert_eq!(shown(b"\x7f\x08"), "\\u{7f}\\u{8}");
}

#[test]
fn every_control_character_is_escaped() {
    for code in (0..0x20).chain(0x7f..0xa0) {
        let text = char::from_u32(code).unwrap().to_string();
        assert!(shown(text.as_bytes()).starts_with('\\'), "U+{code:04X}");
    }
}

#[test]
fn a_second_line_cannot_be_forged() {
    for text in ["a\nb", "a\r\nb", "a\u{85}b", "a\u{2028}b", "a\u{2029}b", "a\u{b}b", "a\u{c}b"] {
        let shown = shown(text.as_bytes());
        assert!(shown.starts_with("a\\") && shown.is_ascii(), "{shown}");
    }
}

#[test]
fn direction_of_text_cannot_be_turned() {
    for mark in ['\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{200f}', '\u{61c}'] {
        assert_eq!(shown(format!("exe{mark}txt").as_bytes()), format!("exe\\u{{{:x}}}txt", u32::from(mark)));
    }
}

#[test]
fn bytes_that_are_not_utf8_are_displayed_as_bytes() {
    assert_eq!(shown(b"a\xff\xc3b\xed\xa0\x80"), "a\\xff\\xc3b\\xed\\xa0\\x80");
}

#[test]
fn what_looks_escaped_already_is_told_apart() {
    assert_eq!(shown(b"\\u{1b}"), "\\\\u{1b}");
}

#[test]
fn ordinary_text_of_any_script_stays_as_it_is() {
    let text = "email:deliver Grüße 東京 \u{1f4e6}";
    assert_eq!(shown(text.as_bytes()), text);
}

#[test]
fn what_cannot_be_seen_is_shown() {
    let single = "\u{34f}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{3164}\u{ffa0}".chars();
    let ranges = [0x180b..=0x180f, 0x200b..=0x200f, 0xfe00..=0xfe0f, 0x1d173..=0x1d17a, 0xe0000..=0xe0fff];
    for character in single.chain(ranges.into_iter().flatten().filter_map(char::from_u32)) {
        let shown = shown(format!("a{character}b").as_bytes());
        assert_eq!(shown, format!("a\\u{{{:x}}}b", u32::from(character)));
    }
}
