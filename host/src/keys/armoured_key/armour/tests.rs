use super::*;

const PEM: &str = "# a comment\n-----BEGIN TASKSEAL SECRET KEY-----\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\nMDEyMw==\n-----END TASKSEAL SECRET KEY-----\n";

fn decode(content: &[u8]) -> Result<Vec<u8>, String> {
    let mut buffer = [0; 768];
    let armour = Armour::find(content)?;
    armour.decode(&mut buffer).map(|(_, bytes)| bytes.to_vec())
}

#[test]
fn armour_that_cannot_be_read_is_refused_with_its_line_and_without_its_content() {
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(PEM.bytes().flat_map(|byte| [byte, 0])).collect();
    let end = "-----END TASKSEAL SECRET KEY-----";
    for (content, expected) in [
        (utf16, "the text is UTF-16"),
        (Vec::new(), "empty: expected a key in PEM armour"),
        (b"\n \r\n".to_vec(), "empty: expected a key in PEM armour"),
        (b"kid = 3\n".to_vec(), "no line begins with `-----BEGIN`"),
        (PEM.replace("AAEC", " AAEC").into(), "line 3 begins with a blank"),
        (PEM.replace("-----BEGIN", "  -----BEGIN").into(), "line 2 begins with a blank"),
        (PEM.replace("AAEC", "A*EC").into(), "line 3 contains a character that is not base64"),
        (
            PEM.replace('\n', " ").replace("# a comment ", "").into(),
            "line 1 is not the first line of PEM armour alone",
        ),
        (PEM.replace('\n', "\\n").replace("# a comment\\n", "").into(), "line 1 is not the first line"),
        (PEM.replace(end, "").into(), "it is cut off"),
        (PEM.repeat(2).into(), "line 6 follows the end"),
        (PEM.replace("# a comment\n", "").repeat(2).into(), "line 5 begins a second key"),
        (format!("{PEM}more").into(), "line 6 follows the end"),
        (PEM.replace("AAECAwQF", "AAECAwQ").into(), "the PEM armour is damaged"),
    ] {
        let message = decode(&content).unwrap_err();
        assert!(message.contains(expected), "{message}: expected {expected}");
        assert!(!message.contains("AwQF") && !message.contains("MDEy"), "{message}");
    }
}

#[test]
fn armour_is_read_with_what_editors_and_copies_leave_around_it() {
    let expected = decode(PEM.as_bytes()).unwrap();
    assert_eq!(expected.len(), 52);
    for content in [
        PEM.replace('\n', "\r\n"),
        format!("\u{feff}{PEM}"),
        format!("\u{feff}\r\n{}", PEM.replace('\n', "\r\n")),
        format!("\n\n{PEM}\n\n"),
        PEM.replace('\n', " \t\n"),
        PEM.replace('\n', "\n\n"),
        PEM.trim_end().to_owned(),
        format!("{} ", PEM.trim_end()),
    ] {
        assert_eq!(decode(content.as_bytes()).as_ref(), Ok(&expected), "{content:?}");
    }
}
