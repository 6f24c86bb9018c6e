//! The text form of task ids.

use std::string::ToString;

use super::*;

const TEXT: &str = "0192f7a1-c3d4-7e5f-a1b2-c3d4e5f60718";

#[test]
fn an_id_and_its_text_are_one_to_one() {
    let id = TaskId::parse(TEXT).unwrap();
    assert_eq!(id.to_string(), TEXT);
    assert_eq!(id.encode(&mut [0; 36]), TEXT);
    assert_eq!(std::format!("{id:?}"), "TaskId(0192f7a1-c3d4-7e5f-a1b2-c3d4e5f60718)");
    assert_eq!(TaskId::from_bytes(*id.as_bytes()), id);
    assert_eq!(TaskId::parse("00000000-0000-0000-0000-000000000000"), Some(TaskId::from_bytes([0; 16])));
}

#[test]
fn other_text_forms_are_refused() {
    for text in [
        "",
        "0192f7a1c3d47e5fa1b2c3d4e5f60718",
        "0192F7A1-C3D4-7E5F-A1B2-C3D4E5F60718",
        "{0192f7a1-c3d4-7e5f-a1b2-c3d4e5f60718}",
    ] {
        assert_eq!(TaskId::parse(text), None);
    }
    for (index, _) in TEXT.char_indices() {
        for wrong in ['g', ' ', '_', 'A', '\0'] {
            let mut text = TEXT.to_string();
            text.replace_range(index..=index, wrong.encode_utf8(&mut [0; 4]));
            assert_eq!(TaskId::parse(&text), None, "{text}");
        }
        let mut short = TEXT.to_string();
        short.remove(index);
        assert_eq!(TaskId::parse(&short), None);
        short.insert(index, 'é');
        assert_eq!(TaskId::parse(&short), None);
    }
}
